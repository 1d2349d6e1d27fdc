import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { LineClient } from "../../test/fakes/line-client.ts";
import { MemorySink } from "../../test/fakes/memory-sink.ts";
import { startProcess } from "../../test/support/process.ts";
import { hasTool } from "../../test/support/tools.ts";
import { systemClock } from "../platform/clock.ts";
import { readPkcs12 } from "../platform/pkcs12.ts";
import { ensureSelfMadeCertificate } from "./certificate.ts";
import { createReceiver } from "./receiver.ts";
import type { CertificatePair, ClientOptions, ListenerTls, Receiver } from "./receiver.ts";
import { certificatesExpireAt, certificatesFault } from "./tls.ts";

let folder: string;
let rsa: CertificatePair;
let ecdsa: CertificatePair;

async function openssl(...args: string[]): Promise<void> {
  await using made = await startProcess("openssl", args);
  expect(await made.exited).toMatchObject({ code: 0 });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-client-tls-"));
  rsa = await ensureSelfMadeCertificate(folder, "relay.contoso.com", { named: ["127.0.0.1"] }, systemClock);
  const [cert, key] = [join(folder, "ec.pem"), join(folder, "ec.key")];
  const subject = ["-subj", "/CN=relay.contoso.com", "-days", "365", "-nodes"];
  await openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", ...subject, "-out", cert, "-keyout", key);
  ecdsa = { certPem: await readFile(cert, "latin1"), keyPem: await readFile(key, "latin1") };
});
afterAll(() => rm(folder, { recursive: true }));

const running: Receiver[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((receiver) => receiver.stop(0)));
});

/** A client of one address. */
function client(name: string, network: string, tls?: ClientOptions["tls"]): ClientOptions {
  return {
    name,
    networks: [network],
    tls,
    senders: ["internal"],
    recipients: ["internal"],
    fallbackSender: "s@contoso.com",
    maxMessageSizeBytes: 1e7,
    priority: "normal",
  };
}

async function startRelay(tls: ListenerTls, clients: readonly ClientOptions[]): Promise<{ port: number; receiver: Receiver }> {
  const receiver = createReceiver({
    hostname: "relay.contoso.com",
    domains: { own: ["contoso.com"], first: "contoso.com" },
    listeners: [{ name: "printers", endpoints: [{ host: "127.0.0.1", port: 0 }], tls }],
    clients,
    sink: new MemorySink(),
    clock: systemClock,
    emit: () => undefined,
  });
  running.push(receiver);
  await receiver.start();
  return { port: receiver.addresses()[0]?.port ?? 0, receiver };
}

/** What `openssl s_client` says after STARTTLS, from an address. */
async function dial(port: number, from: string, ...args: string[]): Promise<{ code: number | null; said: string }> {
  const all = ["s_client", "-connect", `127.0.0.1:${port}`, "-bind", `${from}:0`, "-starttls", "smtp", ...args];
  await using dialled = await startProcess("openssl", all, { input: "QUIT\r\n" });
  const { code } = await dialled.exited;
  return { code, said: dialled.lines.join("\n") };
}

const TLS_1_0 = ["-tls1", "-cipher", "AES128-SHA:@SECLEVEL=0"];

describe.skipIf(!hasTool("openssl"))("TLS by client on one port", () => {
  test("TLS 1.0 with AES128-SHA works for the client that allows it, and not for its neighbour", async () => {
    const { port } = await startRelay({ mode: "opportunistic", certificate: rsa }, [
      client("old", "127.0.0.2", { minVersion: "TLSv1" }),
      client("floor", "127.0.0.1"),
    ]);

    const old = await dial(port, "127.0.0.2", ...TLS_1_0);
    const neighbour = await dial(port, "127.0.0.1", ...TLS_1_0);
    const modern = await dial(port, "127.0.0.1");

    expect(old).toMatchObject({ code: 0, said: expect.stringMatching(/Cipher is AES128-SHA/) });
    expect(neighbour.code).not.toBe(0);
    expect(modern.said).toMatch(/New, TLSv1\.3/);
  });

  test("mode: none hides STARTTLS from one client, required asks it of another, on a listener that only offers it", async () => {
    const { port } = await startRelay({ mode: "opportunistic", certificate: rsa }, [
      client("blind", "127.0.0.3", { mode: "none" }),
      client("strict", "127.0.0.4", { mode: "required" }),
      client("floor", "127.0.0.1"),
    ]);
    const said: Record<string, string> = {};
    for (const from of ["127.0.0.1", "127.0.0.3", "127.0.0.4"]) {
      await using device = await LineClient.open(port, from);
      await device.reply();
      const offered = (await device.say("EHLO x")).includes("STARTTLS");
      const mail = (await device.say("MAIL FROM:<a@contoso.com>")).slice(0, 9);
      said[from] = `${offered} ${mail} ${(await device.say("STARTTLS")).slice(0, 3)}`;
    }

    expect(said).toEqual({ "127.0.0.1": "true 250 2.1.0 220", "127.0.0.3": "false 250 2.1.0 502", "127.0.0.4": "true 530 5.7.0 220" });
  });

  test("a client may speak TLS on a listener that by itself is plain; on an implicit one TLS comes first for everybody", async () => {
    const plain = await startRelay({ mode: "none", certificate: rsa }, [
      client("modern", "127.0.0.2", { mode: "opportunistic" }),
      client("floor", "127.0.0.1"),
    ]);
    const implicit = await startRelay({ mode: "implicit", certificate: rsa }, [client("floor", "127.0.0.1", { mode: "none" })]);

    expect((await dial(plain.port, "127.0.0.2")).said).toMatch(/TLSv1\.3/);
    expect((await dial(plain.port, "127.0.0.1")).code).not.toBe(0);
    await using device = await LineClient.openTls(implicit.port);
    expect(await device.reply()).toMatch(/^220 /);
  });
});

describe.skipIf(!hasTool("openssl"))("certificates", () => {
  test("RSA and ECDSA side by side: each device gets the one that it can use", async () => {
    const { port } = await startRelay({ mode: "opportunistic", certificate: [rsa, ecdsa] }, [client("floor", "127.0.0.1")]);

    const modern = await dial(port, "127.0.0.1", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256");
    const old = await dial(port, "127.0.0.1", "-tls1_2", "-cipher", "AES128-SHA");

    expect(modern).toMatchObject({ code: 0, said: expect.stringMatching(/Cipher is ECDHE-ECDSA/) });
    expect(old).toMatchObject({ code: 0, said: expect.stringMatching(/Cipher is AES128-SHA/) });
  });

  test("a PKCS #12 file with its passphrase is shown, and tells its date; a wrong passphrase and other files are refused in words", async () => {
    const file = join(folder, "relay.pfx");
    const inputs = ["-in", join(folder, "listener.pem"), "-inkey", join(folder, "listener.key")];
    await openssl("pkcs12", "-export", ...inputs, "-passout", "pass:s3cret", "-out", file);
    const pfx = await readFile(file);
    const { port } = await startRelay({ mode: "opportunistic", certificate: [{ pfx, passphrase: "s3cret" }] }, [
      client("floor", "127.0.0.1"),
    ]);

    const { said } = await dial(port, "127.0.0.1", "-showcerts");

    expect(said).toContain(rsa.certPem.split("\n")[1]);
    expect(certificatesExpireAt([{ pfx, passphrase: "s3cret" }])).toBe(certificatesExpireAt(rsa));
    expect(certificatesFault([{ pfx, passphrase: "wrong" }])).toBe("the PKCS #12 file cannot be opened with this passphrase");
    expect(certificatesFault([{ pfx: Buffer.from("no such thing"), passphrase: undefined }])).toMatch(/PKCS #12/);
    expect(() => readPkcs12(Buffer.alloc(0), undefined)).toThrow();
  });

  test("another certificate is shown from the next handshake on; one that does not fit is not, and sessions under way go on", async () => {
    const { port, receiver } = await startRelay({ mode: "opportunistic", certificate: rsa }, [
      client("floor", "127.0.0.1"),
      client("old", "127.0.0.2", { minVersion: "TLSv1" }),
    ]);
    await using underWay = await LineClient.open(port);
    await underWay.reply();
    await underWay.say("STARTTLS");
    await underWay.startTls();
    const ecdsaOnly = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"];

    expect(() => receiver.present("printers", { certPem: ecdsa.certPem, keyPem: rsa.keyPem })).toThrow(/does not belong/);
    expect((await dial(port, "127.0.0.1", ...ecdsaOnly)).code).not.toBe(0);
    receiver.present("printers", ecdsa);

    for (const from of ["127.0.0.1", "127.0.0.2"]) expect((await dial(port, from, ...ecdsaOnly)).code).toBe(0);
    expect(await underWay.say("NOOP")).toMatch(/^250 /);
  });
});
