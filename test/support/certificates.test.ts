import { createPrivateKey, X509Certificate } from "node:crypto";
import { stat } from "node:fs/promises";
import { expect, test } from "vitest";
import { makeDevCertificates, writeDevCertificates } from "./certificates.ts";
import { tempDir } from "./temp-dir.ts";

test("the development listener's certificate fits its key, is signed by the authority and names the host", async () => {
  const pem = await makeDevCertificates({ names: ["relay.contoso.com", "127.0.0.1"] });
  const [ca, listener] = [new X509Certificate(pem["ca.pem"]), new X509Certificate(pem["listener.pem"])];

  expect(listener.verify(ca.publicKey)).toBe(true);
  expect(listener.checkIssued(ca)).toBe(true);
  expect(listener.checkPrivateKey(createPrivateKey(pem["listener.key"]))).toBe(true);
  expect(listener.checkHost("relay.contoso.com")).toBe("relay.contoso.com");
  expect(listener.checkIP("127.0.0.1")).toBe("127.0.0.1");
});

test("the expired one is expired, and the other key fits no certificate", async () => {
  const now = new Date("2026-11-02T08:00:00Z");
  const pem = await makeDevCertificates({ now });

  expect(new X509Certificate(pem["expired.pem"]).validToDate.getTime()).toBeLessThan(now.getTime());
  for (const name of ["ca.pem", "listener.pem", "expired.pem"] as const) {
    expect(new X509Certificate(pem[name]).checkPrivateKey(createPrivateKey(pem["other.key"]))).toBe(false);
  }
});

test("keys are written for their owner only", async () => {
  await using folder = await tempDir();

  const paths = await writeDevCertificates(folder.path);
  const modes = await Promise.all(paths.filter((path) => path.endsWith(".key")).map(async (path) => (await stat(path)).mode & 0o777));

  expect(modes).toEqual([0o600, 0o600, 0o600, 0o600]);
});
