/**
 * What does the receiving stage cost by itself? CPU (kernel included) of a process that receives into a sink which throws mail away, against a bare
 * Node server that gives the same answers and looks at nothing. Both take turns within one run.
 *
 * Run by `node bench/receive.ts [kept|new|1m|memory] [rounds]`; without a scenario all are run. Needs smtp-source (Postfix).
 */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { systemClock } from "../src/platform/clock.ts";
import type { MessageSink } from "../src/queue/queue.ts";
import { createReceiver } from "../src/receive/receiver.ts";
import { median } from "./machine.ts";
import { sendLoad } from "./smtp-tools.ts";
import type { Load } from "./smtp-tools.ts";

interface Scenario {
  readonly what: string;
  readonly load: Load;
  /** Messages before the measurement, so that the code is compiled. */
  readonly warmUp: number;
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  kept: {
    what: "4 KB, kept connections",
    load: { messages: 20_000, bodyBytes: 4000, sessions: 10, keepConnections: true },
    warmUp: 10_000,
  },
  new: {
    what: "4 KB, a connection for each",
    load: { messages: 5000, bodyBytes: 4000, sessions: 10, keepConnections: false },
    warmUp: 3000,
  },
  "1m": {
    what: "1 MB, kept connections",
    load: { messages: 300, bodyBytes: 1_000_000, sessions: 10, keepConnections: true },
    warmUp: 100,
  },
  memory: {
    what: "20 x 35 MB at once",
    load: { messages: 20, bodyBytes: 35_000_000, sessions: 20, keepConnections: false },
    warmUp: 0,
  },
};

/** What a measured process says of itself. */
interface Usage {
  /** Microseconds since its start, user and kernel. */
  readonly cpu: number;
  readonly rss: number;
  /** Highest since the last report. */
  readonly peakRss: number;
}

type Side = "ours" | "bare";

/** Copies content, as the queue does, and keeps nothing. */
function discardingSink(): MessageSink {
  const slab = Buffer.alloc(256 * 1024);
  let opened = 0;
  return {
    refusal: () => undefined,
    open: () => {
      const queueId = `01BENCH${(opened += 1).toString().padStart(19, "0")}`;
      let filled = 0;
      return {
        queueId,
        write(octets) {
          if (filled + octets.length > slab.length) filled = 0;
          slab.set(octets, filled);
          filled += octets.length;
          return undefined;
        },
        commit: (envelope) => Promise.resolve({ ...envelope, queueId, acceptedAt: Date.now() }),
        abort: () => undefined,
      };
    },
  };
}

async function serveOurs(): Promise<number> {
  const receiver = createReceiver({
    hostname: "relay.next.example",
    domains: { own: ["plant.example", "next.example"], first: "plant.example" },
    listeners: [{ name: "printers", endpoints: [{ host: "127.0.0.1", port: 0 }], tls: { mode: "none" } }],
    clients: [
      {
        name: "floor",
        networks: ["127.0.0.0/8"],
        senders: ["internal"],
        recipients: ["internal"],
        fallbackSender: "scans@plant.example",
        maxMessageSizeBytes: 100_000_000,
        priority: "normal",
      },
    ],
    sink: discardingSink(),
    clock: systemClock,
    emit: () => undefined,
  });
  await receiver.start();
  return receiver.addresses()[0]?.port ?? 0;
}

/** The least that a Node server has to do for the same dialogue: one command or one piece of content in each chunk. */
async function serveBare(): Promise<number> {
  const server = createServer({ noDelay: true }, (socket) => {
    let inContent = false;
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      if (inContent) {
        if (chunk.length < 5 || chunk.toString("latin1", chunk.length - 5) !== "\r\n.\r\n") return;
        inContent = false;
        socket.write("250 2.0.0 Ok: queued\r\n", "latin1");
        return;
      }
      const verb = chunk.toString("latin1", 0, 4);
      if (verb === "DATA") {
        inContent = true;
        socket.write("354 End data\r\n", "latin1");
      } else if (verb === "QUIT") {
        socket.end("221 2.0.0 Bye\r\n", "latin1");
      } else {
        socket.write("250 2.0.0 Ok\r\n", "latin1");
      }
    });
    socket.write("220 bare ESMTP\r\n", "latin1");
  });
  server.listen(0, "127.0.0.1", 1024);
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not bound");
  return address.port;
}

/** In the measured process: serve, and answer each question with the usage so far. */
async function serve(side: Side): Promise<void> {
  const port = await (side === "ours" ? serveOurs() : serveBare());
  let peakRss = 0;
  const look = (): void => {
    peakRss = Math.max(peakRss, process.memoryUsage.rss());
  };
  setInterval(look, 20);
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    look();
    const usage: Usage = { cpu: user + system, rss: process.memoryUsage.rss(), peakRss };
    peakRss = 0;
    process.send?.(usage);
  });
  process.once("disconnect", () => process.exit());
  process.send?.(port);
}

class Measured {
  readonly #child: ChildProcess;
  readonly #port: number;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.#port = port;
  }

  static async start(side: Side): Promise<Measured> {
    const child = fork(fileURLToPath(import.meta.url), ["--serve", side], { execArgv: process.execArgv });
    const [port] = (await once(child, "message")) as [number];
    return new Measured(child, port);
  }

  async #usage(): Promise<Usage> {
    const answer = once(this.#child, "message") as Promise<[Usage]>;
    this.#child.send("usage");
    return (await answer)[0];
  }

  /** Microseconds of CPU for one message, and how far memory rose in between, in bytes. */
  async run(load: Load): Promise<{ micros: number; growth: number }> {
    const before = await this.#usage();
    await sendLoad(this.#port, load);
    const after = await this.#usage();
    return { micros: (after.cpu - before.cpu) / load.messages, growth: after.peakRss - before.rss };
  }

  async stop(): Promise<void> {
    const gone = once(this.#child, "exit");
    this.#child.disconnect();
    await gone;
  }
}

async function measure({ what, load, warmUp }: Scenario, rounds: number): Promise<void> {
  const sides = { ours: await Measured.start("ours"), bare: await Measured.start("bare") };
  const micros: Record<Side, number[]> = { ours: [], bare: [] };
  const growth: Record<Side, number> = { ours: 0, bare: 0 };
  for (const side of ["ours", "bare"] as const) {
    await sides[side].run({ ...load, messages: Math.max(warmUp, 1), bodyBytes: warmUp === 0 ? 1000 : load.bodyBytes, sessions: 1 });
  }
  for (let round = 0; round < rounds; round++) {
    for (const side of round % 2 === 0 ? (["ours", "bare"] as const) : (["bare", "ours"] as const)) {
      const result = await sides[side].run(load);
      micros[side].push(result.micros);
      growth[side] = Math.max(growth[side], result.growth);
    }
  }
  const shown = (side: Side): string =>
    `${side} ${median(micros[side]).toFixed(0)} us (${Math.min(...micros[side]).toFixed(0)}-${Math.max(...micros[side]).toFixed(0)}), ` +
    `memory +${(growth[side] / 1e6).toFixed(0)} MB`;
  console.log(
    `${what}: CPU of a message ${shown("ours")}; ${shown("bare")}; difference ${(median(micros.ours) - median(micros.bare)).toFixed(0)} us`,
  );
  await sides.ours.stop();
  await sides.bare.stop();
}

const [first, second] = process.argv.slice(2);
if (first === "--serve") {
  await serve(second === "bare" ? "bare" : "ours");
} else {
  const names = first === undefined || first === "all" ? Object.keys(SCENARIOS) : [first];
  for (const name of names) {
    const scenario = SCENARIOS[name];
    if (scenario === undefined) throw new Error(`${name} is none of ${Object.keys(SCENARIOS).join(", ")}`);
    await measure(scenario, Number(second ?? 5));
  }
}
