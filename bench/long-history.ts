/**
 * A queue that has been at work for a month: messages that were delivered, bounced, expired and deleted, and messages that wait, are put off and are held,
 * with their attempts; made through the queue's own interface.
 */
import type { Envelope } from "../src/mail/message.ts";
import { systemClock } from "../src/platform/clock.ts";
import { openQueue } from "../src/queue/open.ts";
import type { AttemptRecord, Claim, Queue, Settlement } from "../src/queue/queue.ts";

/** Where the messages go. */
export const LANE = "next";
const DAY_MS = 86_400_000;
/** How far back the first message lies. */
const SPAN_MS = 29 * DAY_MS;
const DEVICES = 200;
const PEOPLE = 500;
const AT_A_TIME = 64;
const CONTENT = new Uint8Array(2_000).fill(0x41);

/** One of the messages, for questions about it. */
export interface Landmark {
  readonly queueId: string;
  readonly messageId: string;
  readonly subject: string;
  readonly upstreamId: string;
  readonly device: string;
  readonly recipient: string;
  readonly acceptedAt: number;
}

export interface LongHistory {
  /** Delivered some days ago. */
  readonly landmark: Landmark;
  readonly states: Readonly<Record<string, number>>;
}

/**
 * @param directory - `data_dir`/queue
 * @param count - messages; one in ten has three recipients
 */
export async function makeLongHistory(directory: string, count: number, progress: (done: number) => void): Promise<LongHistory> {
  const end = Date.now();
  const clock = { now: end - SPAN_MS };
  const queue = await openQueue({
    directory,
    route: () => LANE,
    emit: () => undefined,
    clock: { ...systemClock, now: () => clock.now },
    floorBytes: 0,
    historyKeepMs: 40 * DAY_MS,
  });
  try {
    const numbers = new Map<string, number>();
    let settling: Promise<void>[] = [];
    let room = 0;
    const waiting = Math.floor(count * 0.95);
    const settle = (claim: Claim, again: boolean): void => {
      const number = numberOf(claim.message.messageId);
      const settlement = outcomeOf(number, clock.now, again);
      const settlements = new Map(claim.recipients.map(({ index }) => [index, settlement]));
      settling.push(queue.settle({ claim, settlements, attempt: attemptOf(number, clock.now, settlement) }));
    };
    queue.setExpress({
      reserve: (_lane, envelope, recipients) => (numberOf(envelope.messageId) < waiting ? (room++, recipients) : 0),
      deliver: (claim) => {
        room--;
        settle(claim, false);
      },
      forget: () => room--,
    });
    const accept = async (number: number): Promise<void> => {
      clock.now = Math.max(clock.now, end - SPAN_MS + Math.floor((number * SPAN_MS) / count));
      const writer = queue.open();
      const wait = writer.write(CONTENT);
      if (wait !== undefined) await wait;
      const { queueId } = await writer.commit(envelopeOf(number, clock.now));
      numbers.set(queueId, number);
    };
    for (let first = 0; first < count;) {
      const last = Math.min(first < waiting ? waiting : count, first + AT_A_TIME);
      await Promise.all(Array.from({ length: last - first }, (_, at) => accept(first + at)));
      await Promise.all(settling);
      settling = [];
      if (last === waiting) await tryAgain(queue, settle, () => settling);
      progress(last);
      first = last;
    }
    await removeSome(queue);
    const landmark = await landmarkOf(queue, Math.floor(count * 0.8) - (Math.floor(count * 0.8) % 100), numbers);
    const { waiting: now, final } = await queue.statistics();
    return { landmark, states: { ...now, ...final } };
  } finally {
    await queue.close();
  }
}

/** The second attempts of those that were put off for a moment. */
async function tryAgain(queue: Queue, settle: (claim: Claim, again: boolean) => void, settling: () => Promise<void>[]): Promise<void> {
  for (;;) {
    const claims = await queue.claim({ lane: LANE, limit: 100, recipientsPerMessage: 450, leaseMs: 600_000 });
    if (claims.length === 0) return;
    for (const claim of claims) settle(claim, true);
    await Promise.all(settling());
  }
}

/** By an operator: what one device has in the queue. */
async function removeSome(queue: Queue): Promise<void> {
  await queue.act({ verb: "delete", filter: { device: deviceOf(70), states: ["deferred"] }, by: "bench" });
}

async function landmarkOf(queue: Queue, number: number, numbers: ReadonlyMap<string, number>): Promise<Landmark> {
  const queueId = [...numbers].find(([, other]) => other === number)?.[0] ?? "";
  const view = await queue.show(queueId);
  if (view === undefined) throw new Error(`message ${number} is not in the queue`);
  const { messageId, subject = "", origin, recipients, acceptedAt } = view.message;
  const upstreamId = view.attempts.at(-1)?.upstreamId ?? "";
  return { queueId, messageId, subject, upstreamId, device: origin.device, recipient: recipients[0] ?? "", acceptedAt };
}

const deviceOf = (number: number): string => `10.20.${Math.floor((number % DEVICES) / 100)}.${(number % 100) + 1}`;
const numberOf = (messageId: string): number => Number(/^<(\d+)@/.exec(messageId)?.[1] ?? -1);

function envelopeOf(number: number, now: number): Envelope {
  const recipients = Array.from({ length: number % 10 === 0 ? 3 : 1 }, (_, at) => `person${(number + at * 7) % PEOPLE}@contoso.com`);
  const erp = number % 20 === 7;
  return {
    reversePath: erp ? "erp@contoso.com" : `scanner${number % DEVICES}@contoso.com`,
    recipients,
    origin: {
      listener: "printers",
      client: erp ? "erp" : "floor",
      device: deviceOf(number),
      helo: `MFP${number % DEVICES}`,
      tls: "TLSv1.2",
    },
    kind: "mail",
    priority: "normal",
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: 0,
    messageId: `<${number}@relay.contoso.com>`,
    headerFrom: erp ? "erp@contoso.com" : `scanner${number % DEVICES}@contoso.com`,
    subject: `Scan ${number} of the third floor`,
    repairs: ["date-added", "message-id-added"],
    sessionStartedAt: now - 40,
  };
}

/** Of a hundred: 58 delivered (ten at the second attempt), six bounced, two expired, twenty put off, fourteen held. */
function outcomeOf(number: number, now: number, again: boolean): Settlement {
  const kind = number % 100;
  if (kind < 48 || again) return { kind: "delivered", reply: { code: 250, enhanced: "2.0.0", text: upstreamAnswer(number) } };
  if (kind < 58)
    return { kind: "deferred", dueAt: now, cause: "throttled", reply: { code: 451, enhanced: "4.7.500", text: "Server busy" } };
  if (kind < 64)
    return { kind: "bounced", cause: "recipient-unknown", reply: { code: 550, enhanced: "5.1.10", text: "Recipient not found" } };
  if (kind < 66) return { kind: "expired", cause: "expired" };
  const reply = { code: 554, enhanced: "5.2.252", text: "SendAsDenied; scanner not allowed to send as" };
  if (kind < 86) return { kind: "deferred", dueAt: now + 60 * DAY_MS, cause: "connect" };
  return { kind: "held", by: kind < 93 ? "sender" : "operator", cause: "send-as-denied", reply };
}

const upstreamIdOf = (number: number): string => `AM0PR04MB${7_000_000 + number}`;
const upstreamAnswer = (number: number): string =>
  `OK <${number}@relay.contoso.com> [Hostname=${upstreamIdOf(number)}.eurprd04.prod.outlook.com]`;

function attemptOf(number: number, now: number, settlement: Settlement): AttemptRecord {
  const delivered = settlement.kind === "delivered";
  return {
    startedAt: now,
    upstream: LANE,
    remote: "smtp.office365.com:587",
    tls: "TLSv1.3",
    stage: "final",
    outcome: delivered ? "delivered" : settlement.kind === "held" ? "held" : settlement.kind === "bounced" ? "bounced" : "deferred",
    ...("reply" in settlement && { reply: settlement.reply }),
    ...(delivered && { upstreamId: upstreamIdOf(number) }),
    delays: { beforeQueueMs: 40, inQueueMs: 3, connectMs: 120, transmitMs: 900 },
  };
}
