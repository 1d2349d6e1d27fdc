/** Mail by Microsoft Graph, on the whole product: which door takes what, what Graph is told, and answers that are lost. */
import { createHash, randomBytes } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { submit } from "./submit.ts";
import { ANNA, header, POSTMASTER, SCANNER, startContoso, type Contoso, type ContosoOptions } from "./tenant.ts";

let contoso: Contoso;

async function begin(options: ContosoOptions): Promise<Contoso> {
  contoso = await startContoso({ graph: {}, via: ["graph"], ...options });
  return contoso;
}

afterEach(async () => {
  try {
    await contoso.expectSound();
  } finally {
    await contoso.close();
  }
});

/** A scan of about so many octets, as a printer sends it. */
function scanOf(octets: number, fields = `From: ${SCANNER}\r\nTo: ${ANNA}\r\n`): Buffer {
  const file = randomBytes(Math.floor((octets * 3) / 4))
    .toString("base64")
    .replace(/(.{76})/g, "$1\r\n");
  return Buffer.from(
    `${fields}Subject: Scan\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n` +
      `--b\r\nContent-Type: text/plain\r\n\r\nYour scan.\r\n--b\r\nContent-Type: application/pdf; name=scan.pdf\r\n` +
      `Content-Transfer-Encoding: base64\r\n\r\n${file}\r\n--b--\r\n`,
  );
}

const bodyHash = (content: Buffer): string =>
  createHash("sha256")
    .update(content.subarray(content.indexOf("\r\n\r\n") + 4))
    .digest("hex");
const port = (): number => contoso.relay().addresses[0]?.port ?? 0;
const delivered = async (queueId: string): Promise<unknown> =>
  await contoso.event("recipient.delivered", (event) => event.queueId === queueId);

/** Resolves when something begins to wait for so long. */
async function pauseOf(clock: Contoso["clock"], ms: number): Promise<void> {
  const after = clock.after.bind(clock);
  await new Promise<void>((resolve) => {
    clock.after = (delayMs, callback) => {
      if (delayMs === ms) resolve();
      return after(delayMs, callback);
    };
  });
}

test("1.5 MB and 30 MB each leave by the door they fit, whole, without an error on the way", async () => {
  const { sim, all, relay } = await begin({ via: ["graph", "scans"] });
  const small = scanOf(1_500_000);
  const large = scanOf(30_000_000);

  const first = await submit(port(), { from: SCANNER, to: [ANNA], content: small });
  await delivered(first);
  const second = await submit(port(), { from: SCANNER, to: [ANNA], content: large });
  await delivered(second);

  const byDoor = Object.fromEntries(sim.messages().map(({ door, bodySha256 }) => [door, bodySha256]));
  expect(byDoor).toEqual({ graph: bodyHash(small), submission: bodyHash(large) });
  expect(all("attempt.finished").map(({ upstream, outcome }) => [upstream, outcome])).toEqual([
    ["graph", "delivered"],
    ["scans", "delivered"],
  ]);
  expect(all("upstream.replied").filter(({ reply }) => reply.code >= 400)).toEqual([]);
  expect(await relay().queue.statistics()).toMatchObject({ accepted: 2, final: { delivered: 2 } });
}, 120_000);

test("a reply that is lost after the request: found in Sent Items, delivered, not sent again", async () => {
  const { sim, clock, relay, scan, event, all } = await begin({});
  sim.faults.set("graph-answer-lost", { count: 1 });

  const queueId = await scan(SCANNER, ANNA);
  const deferred = await event("recipient.deferred");
  clock.advance(deferred.nextAttemptAt - clock.now());
  await delivered(queueId);

  expect(sim.messages()).toHaveLength(1);
  expect(all("attempt.finished").map(({ outcome }) => outcome)).toEqual(["ambiguous", "delivered"]);
  const shown = await relay().queue.show(queueId);
  expect(shown?.attempts.at(-1)?.note).toContain("Sent Items holds the message");
});

test("504: the same, also where the message is not there and goes once more after a second look", async () => {
  const { sim, clock, scan, event, all } = await begin({});
  sim.faults.set("graph-timeout-unsent", { count: 1 });

  const queueId = await scan(SCANNER, ANNA);
  const deferred = await event("recipient.deferred");
  const pausing = pauseOf(clock, 10_000);
  clock.advance(deferred.nextAttemptAt - clock.now());
  await event("upstream.replied", ({ reply }) => reply.code === 200);
  await pausing;
  clock.advance(10_000);
  await delivered(queueId);

  expect(sim.messages()).toHaveLength(1);
  expect(all("attempt.finished").map(({ outcome }) => outcome)).toEqual(["ambiguous", "delivered"]);
});

test("recipients of the envelope get it, whom the header names besides takes the other door", async () => {
  const { sim, all } = await begin({ via: ["graph", "scans"] });
  const fields = `From: ${SCANNER}\r\nTo: ${ANNA}, boss@fabrikam.example\r\n`;

  const hidden = await submit(port(), { from: SCANNER, to: [ANNA, "bob@fabrikam.example"], content: scanOf(1_000) });
  await delivered(hidden);
  const named = await submit(port(), { from: SCANNER, to: [ANNA], content: scanOf(1_000, fields) });
  await delivered(named);

  expect(sim.messages().map(({ door, recipients }) => [door, recipients])).toEqual([
    ["graph", [ANNA, "bob@fabrikam.example"]],
    ["submission", [ANNA]],
  ]);
  expect(header(sim.messages()[1]!, "To")).toContain("boss@fabrikam.example");
  expect(all("recipient.held")).toEqual([]);
});

test("with no other door they are taken out of the header, and the history says so", async () => {
  const { sim, relay } = await begin({});
  const fields = `From: ${SCANNER}\r\nTo: ${ANNA}, boss@fabrikam.example\r\n`;

  const queueId = await submit(port(), { from: SCANNER, to: [ANNA], content: scanOf(1_000, fields) });
  await delivered(queueId);

  expect(sim.messages()).toMatchObject([{ door: "graph", recipients: [ANNA] }]);
  expect(header(sim.messages()[0]!, "To")).toBe(ANNA);
  expect((await relay().queue.show(queueId))?.attempts[0]?.note).toContain("boss@fabrikam.example");
});

test("SMTP AUTH is switched off: mail takes Graph at once, and none goes twice", async () => {
  const { sim, scan, all, event } = await begin({ via: ["scans", "graph"] });
  const first = await scan(SCANNER, ANNA);
  await delivered(first);
  const mailbox = sim.tenant.mailboxes.find(({ address }) => address === SCANNER);
  if (mailbox !== undefined) mailbox.smtpAuth = false;
  sim.dropConnections();

  const others = [];
  for (let i = 0; i < 10; i += 1) others.push(await scan(SCANNER, ANNA));
  for (const queueId of others) await event("recipient.delivered", (done) => done.queueId === queueId);

  expect(sim.messages().map(({ door }) => door)).toEqual(["submission", ...others.map(() => "graph")]);
  expect(all("recipient.bounced")).toEqual([]);
}, 60_000);

test("a message over Graph's limit goes as a draft where that is allowed", async () => {
  const { sim, relay } = await begin({ graph: { large_messages: "draft" } });

  const queueId = await submit(port(), { from: SCANNER, to: [ANNA], content: scanOf(8_000_000) });
  await delivered(queueId);

  expect(sim.messages()).toMatchObject([{ door: "graph", recipients: [ANNA] }]);
  expect(header(sim.messages()[0]!, "X-Postern-Id")).toBe(queueId);
  expect((await relay().queue.show(queueId))?.attempts[0]?.note).toContain("as a draft");
}, 60_000);

test("a report goes out as the mailbox, and says that a machine wrote it", async () => {
  const { sim, event } = await begin({ via: ["graph"] });
  sim.faults.set("graph-invalid-recipients", { count: 1 });

  await contoso.scan(SCANNER, "nobody@fabrikam.example");
  await event("recipient.bounced");
  const report = await sim.waitFor(({ recipients }) => recipients.includes(POSTMASTER));
  await event("recipient.delivered", ({ recipient }) => recipient === POSTMASTER);

  expect(report).toMatchObject({ door: "graph", headerFrom: [SCANNER] });
  expect(header(report, "Auto-Submitted")).toBe("auto-replied");
});
