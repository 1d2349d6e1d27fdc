import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { tempDir } from "../../../test/support/temp-dir.ts";
import type { PosternEvent } from "../../mail/events.ts";
import { ManualClock } from "../../platform/clock.ts";
import { Alerts } from "./alerts.ts";
import type { Carried, Owed } from "./alert.ts";
import type { Figures, Ways } from "./alerts.ts";

const HOUR = 3_600_000;
const RAISED = { type: "alert.raised", alert: "upstream.held", subject: "scans", text: "held", remedy: "renew" } as const;
const CALM: Figures = {
  oldestAcceptedAt: undefined,
  freeBytes: 1e12,
  floorBytes: 1,
  doors: [],
  credentials: [],
  certificates: [],
  tokens: [],
  programReplaced: false,
};

let folder: Awaited<ReturnType<typeof tempDir>>;
let clock: ManualClock;
let events: PosternEvent[];
const running: Alerts[] = [];
beforeEach(async () => {
  folder = await tempDir();
  clock = new ManualClock();
  events = [];
});
afterEach(async () => {
  for (const alerts of running.splice(0)) await alerts.stop();
  await folder.remove();
});

/** Alerts of a process that begins. */
async function begin(ways: Ways = {}): Promise<Alerts> {
  const alerts = new Alerts({
    directory: join(folder.path, "deliver"),
    graceMs: HOUR,
    ways,
    emit: (event) => void events.push(event),
    clock,
  });
  running.push(alerts);
  await alerts.load();
  return alerts;
}

/** Looks once, now. */
async function looked(alerts: Alerts, figures: Figures = CALM): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  alerts.start(() => {
    resolve();
    return Promise.resolve(figures);
  });
  clock.advance(0);
  await promise;
  await new Promise(setImmediate);
}

const told = (): string[] => events.map((event) => `${event.type} ${"subject" in event ? event.subject : ""}`);

test("what is open survives a kill: not raised again, repeated after a day, over when it is not met", async () => {
  const first = await begin();
  expect(first.observe(RAISED)).toBe(true);
  expect(first.observe(RAISED)).toBe(true);
  expect(first.observe({ type: "alert.cleared", alert: "budget.low", subject: "x" })).toBe(true);
  await first.stop();
  expect(told()).toEqual(["alert.raised scans"]);
  const second = await begin();
  second.observe(RAISED);
  expect(told()).toEqual(["alert.raised scans"]);
  clock.advance(24 * HOUR);
  await looked(second);
  expect(told()).toEqual(["alert.raised scans", "alert.repeated scans"]);
  await second.stop();
  const third = await begin();
  expect(third.list()).toHaveLength(1);
  clock.advance(HOUR);
  await looked(third);
  expect(told().at(-1)).toBe("alert.cleared scans");
  await third.stop();
  expect((await begin()).list()).toEqual([]);
});

test("a look raises and clears, and events that are alerts to somebody become one", async () => {
  const alerts = await begin();
  expect(alerts.observe({ type: "queue.failed", cause: "EIO", damaged: false })).toBe(false);
  for (let i = 0; i < 20; i++)
    alerts.observe({
      type: "session.rejected",
      session: "s",
      listener: "printers",
      device: "10.9.9.9",
      reason: "unlisted",
      reply: { code: 554, text: "no" },
    });
  await looked(alerts, { ...CALM, oldestAcceptedAt: clock.now() - 2 * HOUR });
  expect(told()).toEqual(["alert.raised queue", "alert.raised queue", "alert.raised unlisted"]);
  expect(alerts.list().map(({ alert }) => alert)).toEqual(["spool.failed", "queue.old", "devices.refused"]);
  alerts.observe({ type: "alert.raised", alert: "message.corrupt", subject: "01A", text: "damaged" });
  alerts.observe({ type: "recipient.deleted", queueId: "01A", recipient: "a@b.example", upstream: "scans", operator: "root" });
  expect(told().slice(-2)).toEqual(["alert.raised 01A", "alert.cleared 01A"]);
});

test("a reload takes back what the upstreams of before said of themselves, and all about those that are gone", async () => {
  const alerts = await begin();
  const raise = (alert: string, subject: string): boolean => alerts.observe({ type: "alert.raised", alert, subject, text: "x" });
  for (const alert of ["upstream.held", "upstream.sign-in", "upstream.configuration"])
    for (const name of ["scans", "old", "bulk"]) raise(alert, name);
  raise("sender.held", "old erp@contoso.com");
  raise("sender.held", "older erp@contoso.com");
  raise("budget.low", "old recipients_per_day");
  events.length = 0;
  alerts.upstreamsChanged(["scans"], ["old"]);
  expect(events.map(({ type }) => type)).toEqual(Array.from({ length: 7 }, () => "alert.cleared"));
  expect(alerts.list().map(({ alert, subject }) => `${alert} ${subject}`)).toEqual([
    "upstream.held scans",
    "upstream.held bulk",
    "upstream.sign-in bulk",
    "upstream.configuration bulk",
    "sender.held older erp@contoso.com",
  ]);
});

test("figures that cannot be had are a line in the log, and the next look comes all the same", async () => {
  const alerts = await begin();
  let looks = 0;
  alerts.start(() => {
    looks += 1;
    return Promise.reject(new Error("closed"));
  });
  clock.advance(0);
  await new Promise(setImmediate);
  expect(events).toEqual([{ type: "alert.look.failed", cause: "closed" }]);
  clock.advance(60_000);
  expect(looks).toBe(2);
});

test("a notice that the webhook did not get is sent by the next process", async () => {
  let answer: Carried = { taken: false, cause: "ECONNREFUSED" };
  const tries: string[] = [];
  const webhook = (done: () => void): Ways => ({
    webhook: {
      carry: (owed) => {
        tries.push(JSON.stringify(owed.map(({ id, notice }) => ({ id, notice }))));
        done();
        return Promise.resolve(answer);
      },
    },
  });
  const tried = Promise.withResolvers<void>();
  const first = await begin(webhook(tried.resolve));
  first.observe(RAISED);
  await looked(first);
  await tried.promise;
  await first.stop();
  answer = { taken: true };
  const again = Promise.withResolvers<void>();
  const second = await begin(webhook(again.resolve));
  await looked(second);
  await again.promise;
  await second.stop();
  expect(tries).toHaveLength(2);
  expect(tries[1]).toBe(tries[0]);
  expect(JSON.parse(await readFile(join(folder.path, "deliver", "alerts.json"), "utf8"))).toMatchObject({
    version: 1,
    open: [{ subject: "scans" }],
    owed: [],
  });
});

test("a damaged file is put aside and told of, and alerts go on", async () => {
  await mkdir(join(folder.path, "deliver"));
  await writeFile(join(folder.path, "deliver", "alerts.json"), "{ half");
  const alerts = await begin();
  expect(events).toMatchObject([
    { type: "alert.file.failed", cause: expect.stringContaining("put aside as alerts.json.damaged") as unknown },
  ]);
  alerts.observe(RAISED);
  await alerts.stop();
  expect((await begin()).list()).toHaveLength(1);
});

/** A way that fails or not, and what it carried. */
function way(isTaken: boolean) {
  const carried: string[] = [];
  const called = Promise.withResolvers<void>();
  const carry = ([owed]: readonly Owed[]): Promise<Carried> => {
    carried.push(`${owed?.notice.state ?? ""} ${owed?.notice.alert.subject ?? ""}`);
    called.resolve();
    return Promise.resolve(isTaken ? { taken: true } : { taken: false, cause: "ECONNREFUSED" });
  };
  return { carrier: { carry }, carried, called: called.promise };
}

test("what waits for the webhook goes to the new one of a reload at once, and with its end by the way that is new", async () => {
  const [dead, other, syslog] = [way(false), way(false), way(true)];
  const alerts = await begin({ webhook: dead.carrier });
  alerts.observe(RAISED);
  await looked(alerts);
  await dead.called;
  alerts.update({ webhook: other.carrier });
  await other.called;
  alerts.update({ syslog: syslog.carrier });
  await syslog.called;
  alerts.observe({ type: "alert.cleared", alert: "upstream.held", subject: "scans" });
  await alerts.stop();
  expect([dead.carried, other.carried]).toEqual([["raised scans"], ["raised scans"]]);
  expect(syslog.carried).toEqual(["raised scans", "cleared scans"]);
  expect(told().filter((line) => line.startsWith("alert.notify.dropped"))).toEqual([]);
});

test("what waits for a way that is gone with nothing in its place is dropped, and that is told; after a restart too", async () => {
  const dead = way(false);
  const alerts = await begin({ syslog: dead.carrier });
  alerts.observe(RAISED);
  await looked(alerts);
  await dead.called;
  await alerts.stop();
  const second = await begin();
  const dropped = { type: "alert.notify.dropped", way: "syslog", alert: "upstream.held", subject: "scans", state: "raised" };
  expect(events.at(-1)).toMatchObject({ ...dropped, cause: "alerts.syslog is not in the configuration any more" });
  second.update({ syslog: dead.carrier });
  second.observe({ type: "alert.raised", alert: "queue.old", subject: "queue", text: "old" });
  second.update({});
  expect(events.at(-1)).toMatchObject({ ...dropped, alert: "queue.old", subject: "queue" });
});

test("the end waits for the look under way, and no look comes after it: what looks are made of may be closed then", async () => {
  const alerts = await begin();
  const figures = Promise.withResolvers<Figures>();
  let looks = 0;
  alerts.start(() => {
    looks++;
    return figures.promise;
  });
  clock.advance(0);
  let ended = false;
  const end = alerts.end().then(() => (ended = true));
  await new Promise(setImmediate);
  const early = ended;

  figures.resolve(CALM);
  await end;
  clock.advance(HOUR);
  await new Promise(setImmediate);

  expect({ early, looks, events }).toEqual({ early: false, looks: 1, events: [] });
});
