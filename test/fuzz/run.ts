/** Runs cases against one relay in a process of its own, some at a time, each from an address of its own. */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Accepted, Ways } from "../hostile/hostile-relay.ts";
import { fuzzCase, proxyHeader } from "./cases.ts";
import type { ClientName, FuzzCase, Way } from "./cases.ts";
import { wrong } from "./oracle.ts";

/** The relay ends a connection whose client has: a case that takes longer is a fault. */
const PATIENCE_MS = 20_000;
const NETWORKS: Readonly<Record<ClientName, string>> = {
  floor: "127.0.1",
  app: "127.0.9",
  unlisted: "127.0.7",
  balancer: "127.0.5",
  user: "127.0.6",
  guest: "127.0.8",
};

export interface Finding {
  readonly number: number;
  readonly what: string;
  readonly sent: Buffer;
  readonly heard: string;
}

/** Addresses of a client that take turns. */
const ADDRESSES = 240;

interface Played {
  readonly number: number;
  readonly client: ClientName;
  readonly sent: Buffer;
  readonly heard: string;
  readonly accepted: Accepted[];
}

/** What is played against. */
export interface FuzzedRelay {
  readonly port: number;
  /** Ports of further listeners. Without them every client comes by itself, and nobody has to sign in. */
  readonly ways?: Ways | undefined;
  readonly accepted: readonly Accepted[];
  readonly faults: readonly string[];
  /** Asked again while there are sessions; what was accepted before the answer is in `accepted` then. */
  figures(): Promise<{ readonly sessions: number }>;
}

/** Plays cases against one relay. */
export class FuzzRun {
  readonly #relay: FuzzedRelay;
  readonly #seed: number;
  /** The last case of each address: what a client that left at once had said may be taken after the next cases have begun. */
  readonly #played = new Map<string, Played>();
  #looked = 0;

  constructor(relay: FuzzedRelay, seed: number) {
    this.#relay = relay;
    this.#seed = seed;
  }

  /** Plays the cases `first` to `first + count - 1` side by side. @returns what was found */
  async play(first: number, count: number): Promise<Finding[]> {
    const late: Finding[] = [];
    await Promise.all(
      Array.from({ length: count }, async (_, at) => {
        const number = first + at;
        const fuzz = fuzzCase(this.#seed, number);
        const host = 1 + (number % ADDRESSES);
        const address = `${NETWORKS[fuzz.client]}.${host}`;
        const sent = Buffer.concat(fuzz.segments);
        const { heard, ended } = await playCase(this.#open(fuzz.way, address, `${NETWORKS.balancer}.${host}`), fuzz);
        this.#played.set(address, { number, client: fuzz.client, sent, heard, accepted: [] });
        if (!ended) late.push({ number, what: "the connection was not ended", sent, heard });
      }),
    );
    // What the relay told before its answer to this has arrived with it. Sessions may outlive their sockets by a commit.
    while ((await this.#relay.figures()).sessions > 0);
    return [...late, ...this.#judged(first, count)];
  }

  #open(way: Way, address: string, balancer: string): Line {
    const { port, ways } = this.#relay;
    const dial = (to: number, from: string): Socket =>
      connect({ host: "127.0.0.1", port: to, localAddress: from, allowHalfOpen: true, noDelay: true });
    if (way === "plain" || ways === undefined) {
      const wire = dial(port, address);
      return { wire, speech: wire };
    }
    if (way === "secured") {
      const wire = dial(ways.secured, address);
      return { wire, speech: connectTls({ socket: wire, rejectUnauthorized: false }) };
    }
    if (way === "sign-in") {
      const wire = dial(ways.submission, address);
      return { wire, speech: wire };
    }
    const wire = dial(ways.balanced, balancer);
    if (way !== "broken") wire.write(proxyHeader(way === "balanced-1" ? 1 : 2, address));
    return { wire, speech: wire };
  }

  #judged(first: number, count: number): Finding[] {
    const touched = new Set([...this.#played.values()].filter(({ number }) => number >= first));
    for (const message of this.#relay.accepted.slice(this.#looked)) {
      const played = this.#played.get(message.device);
      played?.accepted.push(message);
      if (played !== undefined) touched.add(played);
    }
    this.#looked = this.#relay.accepted.length;
    const findings = [...touched].flatMap(({ number, client, sent, heard, accepted }): Finding[] => {
      const what = wrong(client, sent, heard, accepted);
      return what === undefined ? [] : [{ number, what, sent, heard }];
    });
    const { faults } = this.#relay;
    if (faults.length > 0)
      findings.push({ number: first, what: `in one of ${count} cases: ${faults.join("\n")}`, sent: Buffer.alloc(0), heard: "" });
    return findings;
  }
}

export const CASES_AT_A_TIME = 8;

/** A connection, and what is spoken on it: the same but for TLS. */
interface Line {
  readonly wire: Socket;
  readonly speech: Socket;
}

async function playCase({ wire, speech: socket }: Line, { segments, end }: FuzzCase): Promise<{ heard: string; ended: boolean }> {
  const chunks: Buffer[] = [];
  let ended = true;
  // With TLS either of the two may close without the other's word.
  const gone = new Promise<void>((resolve) => {
    wire.once("close", () => resolve());
    socket.once("close", () => resolve());
  });
  wire.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => undefined);
  socket.on("end", () => socket.end());
  const timer = setTimeout(() => {
    ended = false;
    socket.destroy();
    wire.destroy();
  }, PATIENCE_MS);
  for (const segment of segments) {
    if (socket.destroyed) break;
    await new Promise<void>((resolve) => {
      if (!socket.write(segment)) {
        socket.once("drain", resolve);
        socket.once("close", () => resolve());
      } else setImmediate(resolve);
    });
  }
  if (end === "reset" && wire === socket) wire.resetAndDestroy();
  else if (end === "reset") wire.destroy();
  else if (end === "close") socket.destroySoon();
  else socket.end();
  await gone;
  clearTimeout(timer);
  const heard = Buffer.concat(chunks).toString("latin1");
  return { heard: end === "half-close" ? heard : heard.slice(0, heard.lastIndexOf("\r\n") + 2), ended };
}
