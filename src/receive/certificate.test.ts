import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ManualClock } from "../platform/clock.ts";
import { ensureSelfMadeCertificate, listenerAddresses } from "./certificate.ts";
import { certificatesExpireAt, certificateFault } from "./tls.ts";

const DAY_MS = 86_400_000;
let folder: string;
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "postern-certificate-"))));
afterEach(() => rm(folder, { recursive: true }));

test("it is RSA 2048 with SHA-256, carries name and addresses, and its key is the owner's alone", async () => {
  const clock = new ManualClock();

  const { certPem, keyPem } = await ensureSelfMadeCertificate(
    join(folder, "tls"),
    "relay.contoso.com",
    { named: ["192.0.2.1", "2001:db8::1"] },
    clock,
  );

  const certificate = new X509Certificate(certPem);
  expect(certificate.publicKey).toMatchObject({ asymmetricKeyType: "rsa", asymmetricKeyDetails: { modulusLength: 2048 } });
  expect(certificate.checkHost("relay.contoso.com")).toBe("relay.contoso.com");
  expect(certificate.checkIP("192.0.2.1")).toBe("192.0.2.1");
  expect(certificate.checkIP("2001:db8::1")).toBe("2001:db8::1");
  expect(certificateFault(certPem, keyPem)).toBeUndefined();
  expect(certificatesExpireAt({ certPem, keyPem })).toBeGreaterThan(clock.now() + 365 * DAY_MS);
  expect((await stat(join(folder, "tls", "listener.key"))).mode & 0o777).toBe(0o600);
});

test("it is kept until a name is missing, it is about to expire, or it is damaged", async () => {
  const clock = new ManualClock();
  const make = (...addresses: string[]) => ensureSelfMadeCertificate(folder, "relay.contoso.com", { named: addresses }, clock);
  const first = await make("192.0.2.1", "192.0.2.2");

  expect(await make("192.0.2.1")).toEqual(first);
  const second = await make("192.0.2.3");
  expect(second).not.toEqual(first);

  clock.advance(certificatesExpireAt(second) - clock.now() - 29 * DAY_MS);
  const third = await make("192.0.2.3");
  expect(third).not.toEqual(second);

  await writeFile(join(folder, "listener.key"), first.keyPem);
  expect(await make("192.0.2.3")).not.toEqual(third);
  expect(await readFile(join(folder, "listener.key"), "utf8")).not.toBe(first.keyPem);
}, 60_000);

test("it is kept, for devices that trust it, while one of the machine's own addresses is in it", async () => {
  const clock = new ManualClock();
  const make = (own: readonly string[], virtual = ["127.0.0.1"]) =>
    ensureSelfMadeCertificate(folder, "relay.contoso.com", { named: ["192.0.2.1"], own, virtual }, clock);
  const first = await make(["192.0.2.5", "2001:db8::a"]);

  expect(new X509Certificate(first.certPem).checkIP("127.0.0.1")).toBe("127.0.0.1");
  expect(await make(["192.0.2.5", "2001:db8::b", "198.51.100.7"], ["127.0.0.1", "172.17.0.1"])).toEqual(first);
  expect(await make([])).toEqual(first);
  const moved = await make(["192.0.2.6"]);
  expect(moved).not.toEqual(first);
  expect(new X509Certificate(moved.certPem).checkIP("192.0.2.6")).toBe("192.0.2.6");
}, 60_000);

test("faults of a pair are told without a word of the key", async () => {
  const clock = new ManualClock();
  const a = await ensureSelfMadeCertificate(join(folder, "a"), "a.contoso.com", { named: [] }, clock);
  const b = await ensureSelfMadeCertificate(join(folder, "b"), "b.contoso.com", { named: [] }, clock);

  expect(certificateFault(a.certPem, b.keyPem)).toBe("the private key does not belong to the certificate");
  expect(certificateFault("rubbish", a.keyPem)).toMatch(/^the certificate cannot be read/);
  expect(certificateFault(a.certPem, "-----BEGIN SECRET-----")).toMatch(/^the private key cannot be read/);
});

test("a listener on all addresses is known by each of this machine's; a named one only by its own", () => {
  const interfaces = {
    lo: [{ address: "127.0.0.1" }, { address: "::1" }],
    eno1: [{ address: "192.0.2.5" }, { address: "fe80::1" }],
    docker0: [{ address: "172.17.0.1" }],
  };

  expect(listenerAddresses([undefined], interfaces)).toEqual({
    named: [],
    own: ["192.0.2.5"],
    virtual: ["127.0.0.1", "172.17.0.1", "::1"],
  });
  expect(listenerAddresses(["192.0.2.9", "192.0.2.9", "localhost"], interfaces)).toEqual({ named: ["192.0.2.9"], own: [], virtual: [] });
});
