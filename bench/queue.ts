/**
 * How fast is the queue alone? Messages through accept, express delivery and settlement, large contents in and out, and claims and lists over a
 * long queue. Run by `node bench/queue.ts`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Envelope } from "../src/mail/message.ts";
import { systemClock } from "../src/platform/clock.ts";
import { openQueue } from "../src/queue/open.ts";
import type { AttemptRecord, Claim, Queue, SettleRequest } from "../src/queue/queue.ts";

function envelope(device: string): Envelope {
  return {
    reversePath: "scanner@contoso.com",
    recipients: ["anna@contoso.com"],
    origin: { listener: "printers", client: "floor", device, helo: "MFP01", tls: "TLSv1.2" },
    kind: "mail",
    priority: "normal",
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: 0,
    messageId: "<01ARYZ6S41TSV4RRFFQ69G5FAV@relay.contoso.com>",
    headerFrom: "scanner@contoso.com",
    repairs: ["date-added", "message-id-added"],
    sessionStartedAt: Date.now(),
  };
}

const attempt = (): AttemptRecord => ({
  startedAt: Date.now(),
  upstream: "scans",
  remote: "smtp.office365.com:587",
  tls: "TLSv1.3",
  stage: "final",
  outcome: "delivered",
  reply: { code: 250, enhanced: "2.0.0", text: "OK <a@b> [Hostname=AM0PR.eurprd.prod.outlook.com]" },
  delays: { beforeQueueMs: 3, inQueueMs: 1, connectMs: 0, transmitMs: 5 },
});

function delivered(claim: Claim): SettleRequest {
  return { claim, settlements: new Map(claim.recipients.map(({ index }) => [index, { kind: "delivered" }])), attempt: attempt() };
}

/** Durable commits so far: how many, how long in all, and for how many commands. */
const commits = { count: 0, seconds: 0, operations: 0 };

async function withQueue<T>(use: (queue: Queue) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(process.env["BENCH_DIR"] ?? tmpdir(), "postern-bench-"));
  const queue = await openQueue({
    directory,
    route: () => "scans",
    emit(event) {
      if (event.type !== "queue.committed") return;
      commits.count++;
      commits.seconds += event.seconds;
      commits.operations += event.operations;
    },
    clock: systemClock,
    floorBytes: 0,
    historyKeepMs: 30 * 86_400_000,
  });
  try {
    return await use(queue);
  } finally {
    await queue.close();
    rmSync(directory, { recursive: true });
  }
}

async function accept(queue: Queue, pieces: readonly Uint8Array[], device: string): Promise<void> {
  const writer = queue.open();
  for (const piece of pieces) {
    const room = writer.write(piece);
    if (room !== undefined) await room;
  }
  await writer.commit(envelope(device));
}

/** Accepts and delivers `count` messages over `connections` at once; prints rates and what the main thread spent. */
async function through(label: string, count: number, connections: number, bytes: number, express: boolean): Promise<void> {
  await withQueue(async (queue) => {
    const pieces = Array.from({ length: Math.ceil(bytes / 65_536) }, (_, at) =>
      new Uint8Array(Math.min(65_536, bytes - at * 65_536)).fill(65),
    );
    let settled = 0;
    let finished: () => void = () => undefined;
    const done = new Promise<void>((resolve) => {
      finished = resolve;
    });
    const deliver = async (claim: Claim): Promise<void> => {
      let octets = 0;
      if (claim.content.inMemory === undefined) for await (const block of claim.content.blocks()) octets += block.byteLength;
      if (octets > 0 && octets !== claim.content.sizeBytes) throw new Error("the content is not whole");
      await queue.settle(delivered(claim));
      if (++settled === count) finished();
    };
    let places = 0;
    if (express) {
      queue.setExpress({
        reserve: (_lane, _envelope, recipients) => (places < 50 ? (places++, recipients) : 0),
        deliver: (claim) => void deliver(claim).finally(() => places--),
        forget: () => places--,
      });
    }
    let claiming = false;
    const work = async (): Promise<void> => {
      if (claiming) return;
      claiming = true;
      for (;;) {
        const claims = await queue.claim({ lane: "scans", limit: 20, recipientsPerMessage: 450, leaseMs: 600_000 });
        if (claims.length === 0) break;
        await Promise.all(claims.map(deliver));
      }
      claiming = false;
    };
    queue.onWork(() => void work());
    Object.assign(commits, { count: 0, seconds: 0, operations: 0 });
    const startedAt = performance.now();
    const cpu = process.threadCpuUsage();
    const all = process.cpuUsage();
    let started = 0;
    const before = process.memoryUsage.rss();
    let peak = before;
    await Promise.all(
      Array.from({ length: connections }, async (_, connection) => {
        while (started++ < count) {
          await accept(queue, pieces, `10.0.0.${connection}`);
          if (started % 16 === 0) peak = Math.max(peak, process.memoryUsage.rss());
        }
      }),
    );
    await done;
    const seconds = (performance.now() - startedAt) / 1000;
    const main = process.threadCpuUsage(cpu);
    const total = process.cpuUsage(all);
    const perMessage = (micros: number): string => (micros / count).toFixed(0);
    console.log(
      `${label}: ${(count / seconds).toFixed(0)} messages/s, ${((count * bytes) / 1e6 / seconds).toFixed(0)} MB/s; main thread ` +
        `${perMessage(main.user + main.system)} us a message, process ${perMessage(total.user + total.system)}; memory +${((peak - before) / 1e6).toFixed(0)} MB; ` +
        `${(commits.operations / commits.count).toFixed(1)} commands a commit of ${((commits.seconds / commits.count) * 1000).toFixed(2)} ms`,
    );
  });
}

async function longQueue(messages: number, devices: number): Promise<void> {
  await withQueue(async (queue) => {
    const content = [new Uint8Array(200).fill(65)];
    let started = 0;
    await Promise.all(
      Array.from({ length: 64 }, async () => {
        while (started++ < messages) await accept(queue, content, `10.0.${started % devices}.1`);
      }),
    );
    const time = async (label: string, times: number, work: () => Promise<unknown>): Promise<void> => {
      const startedAt = performance.now();
      for (let at = 0; at < times; at++) await work();
      console.log(`${label}: ${((performance.now() - startedAt) / times).toFixed(2)} ms`);
    };
    await time(`claim 1 of ${messages} on ${devices} devices`, 50, () =>
      queue.claim({ lane: "scans", limit: 1, recipientsPerMessage: 450, leaseMs: 600_000 }),
    );
    await time("claim 20", 50, () => queue.claim({ lane: "scans", limit: 20, recipientsPerMessage: 450, leaseMs: 600_000 }));
    await time("lanes", 20, () => queue.lanes());
    await time("statistics", 20, () => queue.statistics());
    await queue.list({}, 1);
    await time("list 100", 10, () => queue.list({}, 100));
    await time("list 100 deferred or held (none)", 5, () => queue.list({ states: ["deferred", "held"] }, 100));
    await time("list all", 1, () => queue.list({}, messages));
    await time("search in all", 5, () => queue.list({ to: "NOBODY@" }, 100));
    const hold = { since: 0, cause: "test", closedBy: undefined, nextProbeAt: 0, probes: 0 };
    await time("hold the lane", 1, () => queue.holdLane("scans", hold));
    await time("release the lane", 1, () => queue.releaseLane("scans"));
  });
}

const runs: Record<string, () => Promise<void>> = {
  small: () => through("4 KB, 20 at once, express", 40_000, 20, 4096, true),
  claimed: () => through("4 KB, 20 at once, claimed", 20_000, 20, 4096, false),
  single: () => through("4 KB, 1 at a time, express", 3_000, 1, 4096, true),
  medium: () => through("50 KB, 20 at once, express", 10_000, 20, 50_000, true),
  large: () => through("1 MB, 10 at once, express", 1_000, 10, 1_000_000, true),
  scans: () => through("35 MB, 20 at once, express", 40, 20, 35_000_000, true),
  long: () => longQueue(100_000, 200),
};
const wanted = process.argv.slice(2);
console.log(`node ${process.version}`);
for (const [name, run] of Object.entries(runs)) if (wanted.length === 0 || wanted.includes(name)) await run();
