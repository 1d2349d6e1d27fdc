/** The parent's side of `relay-process.ts`. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** A message that the relay took. */
export interface Accepted {
  readonly queueId: string;
  readonly device: string;
  readonly reversePath: string;
  readonly recipients: readonly string[];
  readonly sizeBytes: number;
}

export interface Figures {
  readonly rssBytes: number;
  /** Longest time the event loop did not turn since the last time of asking. */
  readonly longestStallMs: number;
  readonly sessions: number;
}

/** Ports of the listeners for those who come through a balancer, inside TLS, or sign in. */
export interface Ways {
  readonly balanced: number;
  readonly secured: number;
  readonly submission: number;
}

export type FromRelay =
  | { readonly kind: "ready"; readonly port: number; readonly ways: Ways }
  | { readonly kind: "fault"; readonly text: string }
  | ({ readonly kind: "accepted" } & Accepted)
  | ({ readonly kind: "figures" } & Figures);
/** `collect` gives free memory back to the system before it tells the figures. */
export type ToRelay = "figures" | "collect" | "stop";

export interface HostileRelay extends AsyncDisposable {
  readonly port: number;
  readonly ways: Ways;
  readonly pid: number;
  readonly accepted: readonly Accepted[];
  /** Uncaught errors and unhandled rejections so far, and the exit of the process. */
  readonly faults: readonly string[];
  figures(collect?: boolean): Promise<Figures>;
}

const CHILD = fileURLToPath(new URL("relay-process.ts", import.meta.url));

export async function startHostileRelay(): Promise<HostileRelay> {
  const child = fork(CHILD, { serialization: "json" });
  const accepted: Accepted[] = [];
  const faults: string[] = [];
  const asking: ((figures: Figures) => void)[] = [];
  const ready = Promise.withResolvers<{ port: number; ways: Ways }>();
  child.on("message", (message: FromRelay) => {
    if (message.kind === "ready") ready.resolve(message);
    else if (message.kind === "fault") faults.push(message.text);
    else if (message.kind === "accepted") accepted.push(message);
    else asking.shift()?.(message);
  });
  let stopping = false;
  child.on("exit", (code, signal) => {
    if (!stopping) faults.push(`the process ended: ${code ?? signal}`);
    ready.reject(new Error(`the relay ended before it was ready: ${code ?? signal}`));
  });
  const { port, ways } = await ready.promise;
  return {
    port,
    ways,
    pid: child.pid ?? 0,
    accepted,
    faults,
    figures: (collect = false) =>
      new Promise((resolve) => {
        asking.push(resolve);
        child.send(collect ? "collect" : "figures");
      }),
    async [Symbol.asyncDispose]() {
      stopping = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.send("stop");
      await gone;
    },
  };
}
