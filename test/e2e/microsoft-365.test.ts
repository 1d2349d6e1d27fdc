/** What becomes of mail at Microsoft 365, on the whole product: real sockets, the stand-in at the other end. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { controlSocketPath } from "../../src/admin/admin.ts";
import type { StatusView } from "../../src/admin/views.ts";
import { openControlClient } from "../../src/cli/control-client.ts";
import { makeSampleScan } from "../../src/cli/sample-scan.ts";
import { submit } from "./submit.ts";
import { ANNA, header, POSTMASTER, SCANNER, startContoso, type Contoso, type ContosoOptions } from "./tenant.ts";

let contoso: Contoso;

async function begin(options?: ContosoOptions): Promise<Contoso> {
  contoso = await startContoso(options);
  return contoso;
}

afterEach(async () => {
  try {
    await contoso.expectSound();
  } finally {
    await contoso.close();
  }
});

test.each(["client-secret", "client-certificate"] as const)("a scan arrives byte for byte by OAuth with a %s", async (credential) => {
  const { sim, relay, event } = await begin({ credential });
  const content = Buffer.from(makeSampleScan({ from: SCANNER, to: ANNA }));

  const queueId = await submit(relay().addresses[0]?.port ?? 0, { from: SCANNER, to: [ANNA], content });
  const [message] = await sim.waitFor(1);
  await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

  const body = content.subarray(content.indexOf("\r\n\r\n") + 4);
  expect(message).toMatchObject({ mailbox: SCANNER, method: "XOAUTH2", recipients: [ANNA], reversePath: SCANNER });
  expect(message?.bodySha256).toBe(createHash("sha256").update(body).digest("hex"));
  expect(header(message!, "Date")).toMatch(/^[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}$/);
  expect(message?.messageId).toMatch(/^<[^@\s]+@relay\.contoso\.com>$/);
  expect(header(message!, "X-Postern-Id")).toBe(queueId);
  expect(await relay().queue.show(queueId)).toMatchObject({
    hasContent: false,
    attempts: [{ outcome: "delivered", upstream: "scans", upstreamId: expect.stringContaining(message?.upstreamId ?? "?") }],
  });
});

test("an unknown recipient gets a report that arrives at the postmaster, and the other recipients their mail", async () => {
  const { sim, relay, scan, event } = await begin();

  const queueId = await scan(SCANNER, "unknown@contoso.com", ANNA);
  const report = await sim.waitFor((message) => message.recipients.includes(POSTMASTER));
  await event("recipient.delivered", ({ recipient }) => recipient === POSTMASTER);

  const text = report.content?.toString("latin1") ?? "";
  expect(sim.messages({ recipient: ANNA })).toHaveLength(1);
  // Microsoft lets no null reverse-path out of a mailbox: the mailbox itself is the sender, and says that a machine wrote it.
  expect(report).toMatchObject({ reversePath: SCANNER, recipients: [POSTMASTER], headerFrom: [SCANNER] });
  expect(header(report, "Auto-Submitted")).toBe("auto-replied");
  expect(text).toContain("multipart/report; report-type=delivery-status");
  expect(text).toMatch(/Final-Recipient: rfc822; ?unknown@contoso\.com\r\nAction: failed\r\nStatus: 5\.4\.1\r\n/);
  expect(text).toMatch(/Diagnostic-Code: smtp; 550 5\.4\.1 Recipient address rejected/);
  expect(text).toContain(`X-Postern-Id: ${queueId}`);
  expect(await relay().queue.statistics()).toMatchObject({ accepted: 2, generated: 1, final: { delivered: 2, bounced: 1 } });
});

test("a report that cannot be delivered to the postmaster raises an alert and nothing more", async () => {
  const { relay, scan, event } = await begin({ postmaster: "unknown@contoso.com" });

  await scan(SCANNER, "unknown@contoso.com");
  const alert = await event("alert.raised");

  expect(alert).toMatchObject({ alert: "report.undeliverable", remedy: expect.stringContaining("organization.postmaster") });
  expect(await relay().queue.statistics()).toMatchObject({ accepted: 1, generated: 1, final: { bounced: 2 } });
});

test("a sender without the right to send is held alone, and leaves once it has the right and an operator releases it", async () => {
  const { sim, relay, scan, event } = await begin({ sender: { mode: "keep" } });

  // Signed, so that it cannot be rewritten to the mailbox instead.
  const content = "From: bruno@contoso.com\r\nDKIM-Signature: v=1; d=contoso.com\r\nTo: anna@contoso.com\r\n\r\nsigned\r\n";
  const heldId = await submit(relay().addresses[0]?.port ?? 0, { from: "bruno@contoso.com", to: [ANNA], content });
  const held = await event("recipient.held");
  const otherId = await scan(SCANNER, ANNA);
  await event("recipient.delivered", ({ queueId }) => queueId === otherId);

  expect(held).toMatchObject({ queueId: heldId, heldBy: "sender", reply: { code: 554, enhanced: "5.2.252" } });
  expect(held.remedy).toContain("bruno@contoso.com");
  expect(await relay().queue.list({}, 10)).toEqual(
    expect.arrayContaining([expect.objectContaining({ queueId: heldId, state: "held", heldBy: "sender" })]),
  );

  sim.tenant.mailboxes.find(({ address }) => address === SCANNER)?.sendAs.push("bruno@contoso.com");
  await relay().queue.act({ verb: "release", filter: { ids: [heldId] }, by: "anna" });
  await event("recipient.delivered", ({ queueId }) => queueId === heldId);

  expect(sim.messages({ reversePath: "bruno@contoso.com" })).toHaveLength(1);
});

test.each(["delete", "bounce", "hold"] as const)("the alarm about a held sender ends with its last mail: %s", async (verb) => {
  const { scan, event, folder } = await begin({ sender: { mode: "keep" } });
  const control = openControlClient(controlSocketPath(join(folder, "data")));
  const alerts = async () => ((await control.get("/api/v1/status")) as StatusView).alerts.map(({ alert }) => alert);

  const held = await scan(SCANNER, "senddenied@contoso.com");
  await event("recipient.held");
  const before = await alerts();
  await control.post(`/api/v1/queue/${verb}`, { filter: { ids: [held] }, by: "anna" });

  expect(before).toEqual(["sender.held"]);
  expect(await alerts()).toEqual([]);
});

test("an alarm about a held sender that outlived its mail is over with the next start", async () => {
  const { scan, event, relay, restart, folder } = await begin({ sender: { mode: "keep" } });
  const alerts = async () =>
    ((await openControlClient(controlSocketPath(join(folder, "data"))).get("/api/v1/status")) as StatusView).alerts.map(
      ({ subject }) => subject,
    );
  const [gone, kept] = [await scan(SCANNER, "senddenied@contoso.com"), await scan("it@contoso.com", "senddenied@contoso.com")];
  await event("recipient.held", ({ queueId }) => queueId === gone);
  await event("recipient.held", ({ queueId }) => queueId === kept);
  // As it is when the relay ends before it has looked who is held.
  await relay().queue.act({ verb: "delete", filter: { ids: [gone] }, by: "anna" });

  const before = await alerts();
  await restart();

  expect(before).toEqual([`scans ${SCANNER}`, "scans it@contoso.com"]);
  expect(await alerts()).toEqual(["scans it@contoso.com"]);
});

test("where the answer to a delivery is lost the message goes again with the same ids, counted as ambiguous", async () => {
  const { sim, clock, relay, scan, event, all } = await begin();
  sim.faults.set("answer-lost", { count: 1 });

  const queueId = await scan(SCANNER, ANNA);
  await event("recipient.deferred");
  clock.advance(6_000);
  await event("recipient.delivered");

  const [first, second, ...more] = sim.messages();
  expect(more).toEqual([]);
  expect([first?.messageId, header(first!, "X-Postern-Id")]).toEqual([second?.messageId, queueId]);
  expect(header(second!, "X-Postern-Id")).toBe(queueId);
  expect([first?.answered, second?.answered]).toEqual([false, true]);
  expect(all("attempt.finished").map(({ outcome }) => outcome)).toEqual(["ambiguous", "delivered"]);
  const { adminAddresses } = relay();
  const metrics = await (await fetch(`http://127.0.0.1:${adminAddresses[0]?.port}/metrics`)).text();
  expect(metrics).toContain('postern_delivery_attempts_total{upstream="scans",outcome="ambiguous"} 1');
});

test("over Microsoft's connections the door waits and the mail leaves later, without a bounce or a hold", async () => {
  const { sim, clock, relay, scan, event, all } = await begin();
  sim.faults.set("concurrent-connections", { count: 1 });

  const queueId = await scan(SCANNER, ANNA);
  const throttled = await event("upstream.throttled");
  await event("recipient.deferred");
  const before = sim.messages().length;
  clock.advance(throttled.waitMs + 1_000);
  await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

  expect(throttled).toMatchObject({ upstream: "scans", reply: { code: 432, enhanced: "4.3.2" } });
  expect(before).toBe(0);
  expect(all("upstream.held")).toEqual([]);
  expect(await relay().queue.statistics()).toMatchObject({ final: { delivered: 1, bounced: 0 } });
});

test("of 35 messages 30 leave at once and the rest in the next minute: Microsoft never has to throttle", async () => {
  const { sim, clock, relay, scan, event } = await begin();
  let delivered = 0;

  await Promise.all(Array.from({ length: 35 }, () => scan(SCANNER, ANNA)));
  await event("recipient.delivered", () => (delivered += 1) === 30);
  // One more comes near the end of the window: it must not slip past those that wait.
  clock.advance(50_000);
  await scan(SCANNER, ANNA);
  const early = sim.messages().length;
  const { waiting } = await relay().queue.statistics();
  clock.advance(12_000);
  await sim.waitFor(36);

  expect(early).toBe(30);
  expect(waiting).toMatchObject({ queued: 6, deferred: 0, held: 0 });
  expect(sim.throttled()).toEqual({ [SCANNER]: 0 });
});
