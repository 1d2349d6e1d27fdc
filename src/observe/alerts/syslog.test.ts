import { createSocket } from "node:dgram";
import { once } from "node:events";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createServer as createSecureServer } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { makeTestAuthority } from "../../../test/fakes/test-ca.ts";
import { freePort } from "../../../test/support/ports.ts";
import { tempDir } from "../../../test/support/temp-dir.ts";
import type { Notice } from "./alert.ts";
import { syslogCarrier, type SyslogAddress, type SyslogOptions } from "./syslog.ts";
import { syslogMessage } from "./syslog-message.ts";

const AT = Date.UTC(2026, 0, 5, 9, 0, 0);
const NOTICE: Notice = {
  state: "raised",
  at: AT,
  alert: {
    alert: "upstream.held",
    subject: "scans",
    text: "upstream scans is held: 535 5.7.3\r\nrefused",
    remedy: "renew the secret",
    severity: "critical",
    since: AT,
    toldAt: AT,
    metAt: AT,
  },
};
const SOURCE = { facility: "mail", hostname: "relay.contoso.com", pid: 4711 } as const;
const DATA = '[postern@32473 alert="upstream.held" subject="scans" state="raised" severity="critical"]';
const MESSAGE = `<18>1 2026-01-05T09:00:00.000Z relay.contoso.com postern 4711 alert.raised ${DATA} upstream.held scans: upstream scans is held: 535 5.7.3 refused. What to do: renew the secret`;

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

function carry(address: SyslogAddress, more: Partial<SyslogOptions> = {}) {
  const carrier = syslogCarrier({ ...SOURCE, address, ca: () => Promise.resolve([]), sourceAddress: undefined, ...more });
  return carrier.carry([{ id: "1", notice: NOTICE, attempts: 0 }]);
}

/** A server that collects what each connection brought. */
async function collector(server: Server, event = "connection"): Promise<{ port: number; got: Promise<string> }> {
  const got = Promise.withResolvers<string>();
  const take = (socket: Socket): void => {
    let text = "";
    socket.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    socket.on("end", () => got.resolve(text));
    socket.on("error", () => {});
  };
  server.on(event, take);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  undo.push(() => server.close());
  return { port: (server.address() as AddressInfo).port, got: got.promise };
}

describe("the message", () => {
  test("is one of RFC 5424 with the alert in its structured data, on one line", () => {
    expect(syslogMessage(NOTICE, SOURCE).toString()).toBe(MESSAGE);
  });

  test.each([
    ["critical", "raised", "local3", 19 * 8 + 2],
    ["warning", "repeated", "daemon", 3 * 8 + 4],
    ["info", "raised", "mail", 2 * 8 + 6],
    ["critical", "cleared", "mail", 2 * 8 + 5],
  ] as const)("a %s alert that is %s has its severity in %s", (severity, state, facility, priority) => {
    const notice = { ...NOTICE, state, alert: { ...NOTICE.alert, severity } };

    expect(syslogMessage(notice, { ...SOURCE, facility }).toString()).toMatch(new RegExp(`^<${priority}>1 `));
  });

  test("carries foreign words as words: nothing ends the data or the line, or turns the writing round", () => {
    const subject = 'a"b]c\\d\n<0>1 - - - - - -\u0000\u202e';
    const message = syslogMessage({ ...NOTICE, alert: { ...NOTICE.alert, subject, text: "é\u0007\u2028<1>" } }, SOURCE).toString();

    expect(message).toContain('subject="a\\"b\\]c\\\\d <0>1 - - - - - -??" state="raised"');
    expect(message).toMatch(/\] \ufeffupstream\.held a"b\]c\\d <0>1 - - - - - -\?\?: é\? <1>\. What to do: renew the secret$/);
    expect(message).not.toMatch(/[\r\n]/);
  });

  test("is never longer than 2048 octets, and not cut in the middle of a letter", () => {
    const message = syslogMessage({ ...NOTICE, alert: { ...NOTICE.alert, subject: "é".repeat(400), text: "ü".repeat(1000) } }, SOURCE);

    expect(message.length).toBeGreaterThan(2040);
    expect(message.length).toBeLessThanOrEqual(2048);
    expect(() => new TextDecoder("utf-8", { fatal: true }).decode(message)).not.toThrow();
  });
});

describe("the ways", () => {
  test("UDP: one datagram", async () => {
    const server = createSocket("udp4");
    undo.push(() => server.close());
    server.bind(0, "127.0.0.1");
    await once(server, "listening");
    const got = once(server, "message") as Promise<[Buffer]>;

    const carried = await carry({ transport: "udp", host: "127.0.0.1", port: server.address().port });

    expect(carried).toEqual({ taken: true, note: "sent; UDP does not tell whether it arrived" });
    expect((await got)[0].toString()).toBe(MESSAGE);
  });

  test("UDP: a machine that has no server says so", async () => {
    const gone = createSocket("udp4");
    gone.bind(0, "127.0.0.1");
    await once(gone, "listening");
    const { port } = gone.address();
    await new Promise<void>((resolve) => gone.close(resolve));

    expect(await carry({ transport: "udp", host: "127.0.0.1", port })).toMatchObject({
      taken: false,
      cause: `ECONNREFUSED (127.0.0.1:${port})`,
    });
  });

  test("TCP: counted octets, and taken once the server has read to the end", async () => {
    const server = createServer();
    const { port, got } = await collector(server);

    const carried = await carry({ transport: "tcp", host: "127.0.0.1", port });

    expect(carried).toEqual({ taken: true, note: "read and closed by the server" });
    expect(await got).toBe(`${MESSAGE.length} ${MESSAGE}`);
  });

  test("TCP: a server that is not there, or breaks the connection off, has not taken it", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => {}).once("data", () => socket.resetAndDestroy());
    });
    const { port } = await collector(server);

    expect(await carry({ transport: "tcp", host: "127.0.0.1", port })).toMatchObject({ taken: false });
    const nobody = await freePort();
    expect(await carry({ transport: "tcp", host: "127.0.0.1", port: nobody })).toEqual({
      taken: false,
      cause: `ECONNREFUSED (127.0.0.1:${nobody})`,
      remedy: "Look whether the server runs and takes connections there; the address is in alerts.syslog.address",
    });
  });

  test("TLS: only to a server whose certificate leads to a known authority and names it", async () => {
    const authority = makeTestAuthority();
    const { port, got } = await collector(createSecureServer(authority.issue(["localhost"])), "secureConnection");
    const ca = () => Promise.resolve([authority.ca]);
    const address = { transport: "tls", host: "localhost", port } as const;

    const stranger = await carry(address);
    const otherName = await carry({ ...address, host: "127.0.0.1" }, { ca });
    const known = await carry(address, { ca });

    expect(stranger).toMatchObject({ taken: false, cause: expect.stringMatching(/SELF_SIGNED|UNABLE_TO/) as unknown });
    expect(otherName).toMatchObject({
      taken: false,
      cause: expect.stringMatching(/^ERR_TLS_CERT_ALTNAME_INVALID /) as unknown,
      remedy: expect.stringContaining("network.ca") as unknown,
    });
    expect(known).toEqual({ taken: true, note: "read and closed by the server" });
    expect(await got).toBe(`${MESSAGE.length} ${MESSAGE}`);
  });

  test("the socket of this machine: logger gets the line on its input, never as an argument; where it fails or is missing that is told", async () => {
    const folder = await tempDir();
    undo.push(() => folder.remove());
    const logger = join(folder.path, "logger");
    await writeFile(logger, `#!/bin/sh\necho "$@" > '${folder.path}/arguments'\ncat > '${folder.path}/input'\n`);
    await chmod(logger, 0o700);
    const address = { transport: "unix", path: "/run/log.sock" } as const;

    const carried = await carry(address, { logger });
    const [given, read] = await Promise.all(["arguments", "input"].map((name) => readFile(join(folder.path, name), "utf8")));
    const failed = await carry(address, { logger: "/bin/false" });
    const missing = await carry(address, { logger: join(folder.path, "nowhere") });

    expect(carried).toEqual({ taken: true, note: "handed to the syslog of this machine" });
    expect(given).toBe("--socket /run/log.sock --socket-errors=on --tag postern --id=4711 --priority mail.crit --size 8192\n");
    expect(read).toBe("upstream.held scans: upstream scans is held: 535 5.7.3 refused. What to do: renew the secret\n");
    expect(failed).toMatchObject({ taken: false, cause: "LOGGER_FAILED" });
    expect(missing).toMatchObject({ taken: false, cause: "LOGGER_MISSING", remedy: expect.stringContaining("util-linux") as unknown });
  });
});
