import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseConfig } from "../config/load.ts";
import { MINIMAL_EXAMPLE } from "../config/reference.ts";
import type { Config } from "../config/config.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { ensureSelfMadeCertificate } from "../receive/certificate.ts";
import type { Certificates } from "../receive/receiver.ts";
import { ListenerCertificates } from "./certificates.ts";

const DAY_MS = 86_400_000;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-certificates-"));
});
afterEach(() => rm(folder, { recursive: true }));

function configWith(listener: string): Config {
  const text = MINIMAL_EXAMPLE.replace('listen: ":25" }', `listen: ":25"${listener} }`).replace("/var/lib/postern", "data");
  const loaded = parseConfig(text, "p.yaml", folder);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  return loaded.config;
}

/** Makes a pair at `relay.pem` and `relay.key` that expires ten years after the clock's now. */
async function renew(clock: ManualClock, name: string): Promise<void> {
  await ensureSelfMadeCertificate(join(folder, name), `${name}.contoso.com`, { named: [] }, clock);
  await copyFile(join(folder, name, "listener.pem"), join(folder, "relay.pem"));
  await copyFile(join(folder, name, "listener.key"), join(folder, "relay.key"));
}

class Shown {
  readonly presented: Certificates[] = [];
  present(_listener: string, certificates: Certificates): void {
    this.presented.push(certificates);
  }
}

const FILES = ", tls: { mode: opportunistic, certificate: relay.pem, key: relay.key }";

test("changed files that fit are shown; what does not fit is an alert the second time it is seen, and is over once it fits", async () => {
  const clock = new ManualClock();
  const events: PosternEvent[] = [];
  await renew(clock, "first");
  const certificates = await ListenerCertificates.read(configWith(FILES), (event) => events.push(event), clock);
  const shown = new Shown();
  certificates.start(shown);
  await certificates.look();
  expect([shown.presented, events]).toEqual([[], []]);

  // A tool writes the certificate, and somewhat later its key.
  await ensureSelfMadeCertificate(join(folder, "second"), "second.contoso.com", { named: [] }, clock);
  await copyFile(join(folder, "second", "listener.pem"), join(folder, "relay.pem"));
  await certificates.look();
  expect([shown.presented, events]).toEqual([[], []]);
  await certificates.look();
  expect(events).toMatchObject([
    { type: "alert.raised", alert: "certificate.invalid", subject: "printers", text: expect.stringContaining("does not belong") },
  ]);
  await certificates.look();
  expect(events).toHaveLength(1);
  await copyFile(join(folder, "second", "listener.key"), join(folder, "relay.key"));
  await certificates.look();

  expect(shown.presented).toHaveLength(1);
  expect(events.slice(1)).toMatchObject([
    { type: "certificate.reloaded", listener: "printers", expiresAt: certificates.list()[0]?.expiresAt },
    { type: "alert.cleared", alert: "certificate.invalid" },
  ]);
  await certificates.stop();
});

test("files are looked at by the clock, and an expired certificate is shown with an alert until it is renewed", async () => {
  const clock = new ManualClock();
  const events: PosternEvent[] = [];
  await renew(clock, "first");
  const certificates = await ListenerCertificates.read(configWith(FILES), (event) => events.push(event), clock);
  const shown = new Shown();
  certificates.start(shown);

  clock.advance(3650 * DAY_MS);
  await certificates.look();
  expect(events).toMatchObject([{ type: "alert.raised", alert: "certificate.expired", subject: "printers" }]);
  expect(certificates.of("printers")).toBeDefined();
  await renew(clock, "second");
  await certificates.look();

  expect(events.slice(1)).toMatchObject([{ type: "certificate.reloaded" }, { type: "alert.cleared", alert: "certificate.expired" }]);
  await certificates.stop();
  expect(clock.pending).toBe(0);
});

test("files that are gone leave the certificate where it is", async () => {
  const clock = new ManualClock();
  const events: PosternEvent[] = [];
  await renew(clock, "first");
  const certificates = await ListenerCertificates.read(configWith(FILES), (event) => events.push(event), clock);
  certificates.start(new Shown());

  await rm(join(folder, "relay.pem"));
  await certificates.look();
  await certificates.look();

  expect(events).toMatchObject([{ type: "alert.raised", alert: "certificate.invalid", text: expect.stringContaining("ENOENT") }]);
  expect(certificates.of("printers")).toBeDefined();
  await certificates.stop();
});

test("a self-made one is made anew before it expires", async () => {
  const clock = new ManualClock();
  const events: PosternEvent[] = [];
  const certificates = await ListenerCertificates.read(configWith(", tls: {}"), (event) => events.push(event), clock);
  const shown = new Shown();
  certificates.start(shown);

  clock.advance(3621 * DAY_MS);
  await certificates.look();

  expect(events).toMatchObject([{ type: "certificate.reloaded" }]);
  expect(shown.presented).toHaveLength(1);
  await certificates.stop();
});

test("a plain listener has one when a client speaks TLS there", async () => {
  const clock = new ManualClock();
  const plain = configWith("");
  const { floor } = plain.clients;
  if (floor === undefined) throw new Error("no client");
  const withTls: Config = { ...plain, clients: { floor: { ...floor, tls: { mode: "opportunistic" } } } };

  expect((await ListenerCertificates.read(plain, () => undefined, clock)).of("printers")).toBeUndefined();
  expect((await ListenerCertificates.read(withTls, () => undefined, clock)).of("printers")).toBeDefined();
});

test("at the start a certificate that does not fit is a fault", async () => {
  const clock = new ManualClock();
  await renew(clock, "first");
  await writeFile(join(folder, "relay.key"), "no key");

  await expect(ListenerCertificates.read(configWith(FILES), () => undefined, clock)).rejects.toThrow(
    /listener printers: the private key cannot be read/,
  );
});

test("the certificate of the admin listener is watched and named as one of its own; without a key that fits nothing starts", async () => {
  const clock = new ManualClock();
  const events: PosternEvent[] = [];
  await renew(clock, "first");
  const text = `${MINIMAL_EXAMPLE.replace("/var/lib/postern", "data")}admin: { tls: { certificate: relay.pem, key: relay.key } }\n`;
  const loaded = parseConfig(text, "p.yaml", folder);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  const certificates = await ListenerCertificates.read(loaded.config, (event) => events.push(event), clock);
  const shown: string[] = [];
  certificates.start({ present: (name) => void shown.push(name) });

  await renew(clock, "second");
  await certificates.look();
  await writeFile(join(folder, "relay.key"), "nothing");
  await certificates.look();
  await certificates.look();
  await certificates.stop();

  expect(shown).toEqual(["admin.tls"]);
  expect(certificates.list()).toMatchObject([{ name: "admin.tls" }]);
  expect(events).toMatchObject([
    { type: "certificate.reloaded", listener: "admin.tls" },
    {
      type: "alert.raised",
      alert: "certificate.invalid",
      subject: "admin.tls",
      text: expect.stringContaining("the admin listener is not used"),
    },
  ]);
  await expect(ListenerCertificates.read(loaded.config, () => undefined, clock)).rejects.toMatchObject({
    code: "E_CONFIG",
    message: expect.stringMatching(/^the admin listener: /),
  });
});
