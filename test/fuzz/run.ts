/** Runs cases against one relay in a process of its own, some at a time, each from an address of its own. */
import { connect } from "node:net";
import type { HostileRelay } from "../hostile/hostile-relay.ts";
import { fuzzCase } from "./cases.ts";
import type { ClientName, FuzzCase } from "./cases.ts";
import { wrong } from "./oracle.ts";

const AT_A_TIME = 8;
/** The relay ends a connection whose client has: a case that takes longer is a fault. */
const PATIENCE_MS = 20_000;
const NETWORKS: Readonly<Record<ClientName, string>> = { floor: "127.0.1", app: "127.0.9", unlisted: "127.0.7" };

export interface Finding {
  readonly number: number;
  readonly what: string;
  readonly sent: Buffer;
  readonly heard: string;
}

/** Runs the cases `first` to `first + count - 1`. @returns what was found, in their order */
export async function runCases(relay: HostileRelay, seed: number, first: number, count: number): Promise<Finding[]> {
  const before = relay.accepted.length;
  const played = await Promise.all(
    Array.from({ length: count }, async (_, at) => {
      const fuzz = fuzzCase(seed, first + at);
      const address = `${NETWORKS[fuzz.client]}.${1 + at}`;
      return { number: first + at, fuzz, address, ...(await playCase(relay.port, fuzz, address)) };
    }),
  );
  // What the relay told before its answer to this has arrived with it. Sessions may outlive their sockets by a commit.
  while ((await relay.figures()).sessions > 0);
  const accepted = relay.accepted.slice(before);
  const findings = played.flatMap(({ number, fuzz, address, heard, late }) => {
    const sent = Buffer.concat(fuzz.segments);
    const own = accepted.filter(({ device }) => device === address);
    const what = late ? "the connection was not ended" : wrong(fuzz.client, sent, heard, own);
    return what === undefined ? [] : [{ number, what, sent, heard }];
  });
  if (relay.faults.length > 0)
    findings.push({ number: first, what: `in one of ${count} cases: ${relay.faults.join("\n")}`, sent: Buffer.alloc(0), heard: "" });
  return findings;
}

export const CASES_AT_A_TIME = AT_A_TIME;

async function playCase(port: number, { segments, end }: FuzzCase, address: string): Promise<{ heard: string; late: boolean }> {
  const socket = connect({ host: "127.0.0.1", port, localAddress: address, allowHalfOpen: true, noDelay: true });
  const chunks: Buffer[] = [];
  let late = false;
  const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => undefined);
  socket.on("end", () => socket.end());
  const timer = setTimeout(() => {
    late = true;
    socket.destroy();
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
  if (end === "reset") socket.resetAndDestroy();
  else if (end === "close") socket.destroySoon();
  else socket.end();
  await gone;
  clearTimeout(timer);
  const heard = Buffer.concat(chunks).toString("latin1");
  return { heard: end === "half-close" ? heard : heard.slice(0, heard.lastIndexOf("\r\n") + 2), late };
}
