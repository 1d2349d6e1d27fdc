import { expect, test } from "vitest";
import type { PosternEvent } from "../mail/events.ts";
import type { Envelope } from "../mail/message.ts";
import type { Notice } from "../observe/alerts/alert.ts";
import { ManualClock } from "../platform/clock.ts";
import { loadConfig } from "../config/load.ts";
import type { GeneratedMessage, RerouteRequest } from "../queue/queue.ts";
import { makeRouter } from "../deliver/routes.ts";
import { DoorBoard } from "../deliver/door-board.ts";
import { AlertMails } from "./alert-mails.ts";
import { fileURLToPath } from "node:url";

const EXAMPLE = fileURLToPath(new URL("../../config/postern.example.yaml", import.meta.url));
const clock = new ManualClock();
const DOORS = ["scans", "graph", "inside"];

function notice(alert: string, subject: string, state: Notice["state"] = "raised"): Notice {
  const at = clock.now();
  return { state, at, alert: { alert, subject, text: "x", severity: "warning", since: at, toldAt: at, metAt: at } };
}

/** Mails by three doors, of which `inside` serves the organization only; with those closed that are named. */
async function start(closed: readonly string[] = []) {
  const loaded = await loadConfig(EXAMPLE);
  if (!loaded.ok) throw new Error("the example is faulty");
  const board = new DoorBoard();
  for (const door of closed) board.register(door, { isClosed: true, startable: 0, left: 0 });
  const facts = (serves: "any" | "internal") => ({ traits: { serves, nullSender: "any" as const }, maxMessageSizeBytes: 1e6 });
  const doors = new Map(DOORS.map((door) => [door, facts(door === "inside" ? "internal" : "any")]));
  const router = makeRouter({ routes: [{ name: "default", via: ["scans"] }], domains: ["contoso.com"], doors, board });
  const generated: GeneratedMessage[] = [];
  const rerouted: (RerouteRequest | undefined)[] = [];
  const mails = new AlertMails();
  mails.attach({
    queue: {
      newQueueId: () => `ID${generated.length}`,
      generate: (message) => Promise.resolve(void generated.push(message)),
      reroute: (request) => {
        rerouted.push(request);
        return Promise.resolve(1);
      },
    },
    router,
    board,
    upstreams: new Map(DOORS.map((door) => [door, { mailbox: door === "graph" ? "graph@contoso.com" : undefined }])),
    emit: () => {},
    clock,
  });
  const send = async (notices: readonly Notice[], to = ["it@contoso.com"], via?: readonly string[]) =>
    await mails.carrier({ to, via }, loaded.config).carry(notices.map((one, index) => ({ id: String(index), notice: one, attempts: 0 })));
  const lanes = (envelope: Envelope | undefined): string[] =>
    envelope?.recipients.map((recipient) => router.choose(envelope, recipient)) ?? [];
  return { mails, generated, rerouted, send, lanes, hostname: loaded.config.hostname };
}

test.each([
  ["another one than it is about", [], [notice("upstream.held", "scans")], undefined, "graph"],
  ["the first of via that it is not about", [], [notice("budget.low", "scans recipients_per_day")], ["scans", "inside"], "inside"],
  ["the one that it is about, where no other is open", ["graph", "inside"], [notice("credential.expiring", "scans")], undefined, "scans"],
  ["the first one, once what it was about is over", [], [notice("upstream.held", "scans", "cleared")], undefined, "scans"],
  [
    "one that none of several is about",
    [],
    [notice("upstream.held", "scans"), notice("sender.held", "graph a@b.example")],
    undefined,
    "inside",
  ],
] as const)("the mail leaves by %s", async (_what, closed, notices, via, door) => {
  const { send, generated, lanes, hostname } = await start(closed);

  const carried = await send(notices, undefined, via);

  expect(carried).toEqual({ taken: true, queueId: "ID0", note: `queued as ID0, to leave by ${door}` });
  expect(lanes(generated[0]?.envelope)).toEqual([door]);
  expect(generated[0]?.envelope).toMatchObject({
    kind: "alert",
    reversePath: "",
    headerFrom: door === "graph" ? "graph@contoso.com" : `MAILER-DAEMON@${hostname}`,
  });
});

test("no mail is made while no door is open that takes it; one for whom there is a door does not wait for those without", async () => {
  const none = await start(DOORS);
  const onlyInside = await start(["scans", "graph"]);

  expect(await none.send([notice("disk.low", "queue")])).toEqual({
    taken: false,
    cause: "no upstream that could carry it is open: scans, graph, inside",
  });
  expect(await onlyInside.send([notice("disk.low", "queue")], ["desk@provider.example"])).toMatchObject({ taken: false });
  expect(await onlyInside.send([notice("disk.low", "queue")], ["desk@provider.example", "it@contoso.com"])).toMatchObject({ taken: true });
  expect(onlyInside.lanes(onlyInside.generated[0]?.envelope)).toEqual(["scans", "inside"]);
});

test("while a mail has not left, a door that shuts has what waits for it routed anew", async () => {
  const { mails, rerouted, send } = await start();
  const held: PosternEvent = { type: "upstream.held", upstream: "graph", cause: "no token", nextProbeAt: 0 };
  mails.observe(held);
  await send([notice("upstream.held", "scans")]);
  mails.observe(held);
  mails.observe({ type: "recipient.deleted", queueId: "ID0", recipient: "it@contoso.com", upstream: "graph", operator: "kim" });
  mails.observe(held);

  expect(rerouted).toEqual([{ lane: "graph", cause: "upstream graph cannot be used: no token" }]);
});

test("a door that works again is offered what waits for closed ones, and not with every connection", async () => {
  const { mails, rerouted, send } = await start(["graph"]);
  const works: PosternEvent = { type: "upstream.connected", upstream: "scans", remote: "x:587", connectMs: 1 };
  await send([notice("disk.low", "queue")]);
  mails.observe({ ...works, upstream: "graph" });
  mails.observe(works);
  mails.observe(works);
  clock.advance(60_000);
  mails.observe(works);

  const offered = { lane: "graph", cause: "upstream scans works again" };
  expect(rerouted).toEqual([offered, offered]);
});
