/** What people are told of mail that fails or is late, on the whole product: a queue on disk, the stand-in at the other end, a clock that moves. */
import { afterEach, expect, test } from "vitest";
import { ANNA, POSTMASTER, SCANNER, startContoso, type Contoso } from "./tenant.ts";

const HOUR = 3_600_000;
let contoso: Contoso;

afterEach(async () => {
  try {
    await contoso.expectSound();
  } finally {
    await contoso.close();
  }
});

test("a device with a wrong address makes one report at once, and one list at the end of the hour, also over a restart", async () => {
  contoso = await startContoso();
  const { sim, relay, scan, event, clock, restart } = contoso;
  const ids: string[] = [];
  const failing = async (): Promise<void> => {
    const queueId = await scan(SCANNER, "unknown@contoso.com");
    await event("recipient.bounced", (bounced) => bounced.queueId === queueId);
    ids.push(queueId);
  };

  await failing();
  const first = await sim.waitFor((message) => message.recipients.includes(POSTMASTER));
  await failing();
  await restart();
  await failing();
  clock.advance(HOUR);
  const summary = await sim.waitFor((message) => message.recipients.includes(POSTMASTER) && message.id !== first.id);
  const { queueId } = await event("message.generated", ({ about }) => about === ids[1]);
  await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

  const text = summary.content?.toString("latin1") ?? "";
  expect(ids.map((id) => text.includes(id))).toEqual([false, true, true]);
  expect(text).toContain("2 more messages from scanner@contoso.com");
  expect(await relay().queue.postponedReports()).toEqual([]);
  expect(await relay().queue.statistics()).toMatchObject({ accepted: 3, generated: 2, final: { bounced: 3, delivered: 2 } });
});

test("mail that Microsoft puts off for four hours makes one warning, and none more after a restart", async () => {
  contoso = await startContoso({ prepare: ({ faults }) => void faults.set("mailbox-moving", { recipient: ANNA }) });
  const { sim, relay, scan, all, event, clock, restart } = contoso;
  const queueId = await scan(SCANNER, ANNA);
  const deferred = async (times: number): Promise<void> => {
    await event("recipient.deferred", () => all("recipient.deferred").length >= times);
  };
  await deferred(1);
  expect(all("message.generated")).toEqual([]);

  clock.advance(4 * HOUR);
  await deferred(2);
  const warning = await sim.waitFor((message) => message.recipients.includes(POSTMASTER));
  await event("recipient.delivered", ({ recipient }) => recipient === POSTMASTER);
  await restart();
  clock.advance(2 * HOUR);
  await deferred(3);

  expect(warning.content?.toString("latin1")).toMatch(/Action: delayed\r\nStatus: 4\.3\.111\r\n/);
  expect(all("message.generated")).toMatchObject([{ about: queueId }]);
  sim.faults.clear();
  clock.advance(HOUR);
  await event("recipient.delivered", (delivered) => delivered.queueId === queueId);
  expect(await relay().queue.statistics()).toMatchObject({ accepted: 1, generated: 1, final: { delivered: 2 } });
});
