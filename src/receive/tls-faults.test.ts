import { expect, test } from "vitest";
import { LEFT_IN_HANDSHAKE, tlsFault } from "./tls-faults.ts";
import type { HandshakeFacts } from "./tls-faults.ts";

const openssl = (reason: string): string =>
  `40FD:error:0A000418:SSL routines:ssl3_read_bytes:${reason}:../deps/openssl/ssl/record/rec_layer_s3.c:916:SSL alert number 48`;
/** As smtp-server hands it on. */
const kept = (reason: string): Error => Object.assign(new Error("Failed to establish TLS session"), { meta: { message: openssl(reason) } });
const STARTTLS = { implicit: false, saidSomething: true };
const IMPLICIT = { implicit: true, saidSomething: true };

test.each<[Error, HandshakeFacts, string, unknown]>([
  [
    kept("tlsv1 alert unknown ca"),
    STARTTLS,
    "tlsv1 alert unknown ca",
    expect.stringContaining("does not trust the listener's certificate"),
  ],
  [
    kept("ssl/tls alert bad certificate"),
    IMPLICIT,
    "ssl/tls alert bad certificate",
    expect.stringContaining("does not trust the listener's certificate"),
  ],
  [
    kept("ssl/tls alert certificate expired"),
    STARTTLS,
    "ssl/tls alert certificate expired",
    expect.stringContaining("has ended: renew it"),
  ],
  [kept("ssl/tls alert handshake failure"), STARTTLS, "ssl/tls alert handshake failure", undefined],
  [new Error(openssl("unsupported protocol")), STARTTLS, "unsupported protocol", expect.stringContaining("knows only old TLS")],
  [new Error(openssl("no shared cipher")), IMPLICIT, "no shared cipher", expect.stringContaining("knows only old TLS")],
  [new Error(openssl("wrong version number")), IMPLICIT, "wrong version number", expect.stringContaining("switch the device to SSL/TLS")],
  [new Error(openssl("wrong version number")), STARTTLS, "wrong version number", undefined],
  [
    new Error("the handshake took longer than 30 s"),
    { implicit: true, saidSomething: false },
    "the handshake took longer than 30 s",
    expect.stringContaining("switch the device to SSL/TLS"),
  ],
  [new Error("the handshake took longer than 30 s"), IMPLICIT, "the handshake took longer than 30 s", undefined],
  [new Error(LEFT_IN_HANDSHAKE), IMPLICIT, LEFT_IN_HANDSHAKE, expect.stringContaining("does not trust")],
  [new Error("read ECONNRESET"), STARTTLS, "read ECONNRESET", expect.stringContaining("does not trust")],
])("%o, %o: %s", (error, facts, detail, remedy) => {
  const fault = tlsFault(error, facts);

  expect(fault).toEqual({ detail, remedy });
});
