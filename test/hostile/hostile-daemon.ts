/**
 * The whole relay as `postern run` starts it, for strangers and fuzzed clients: what it took, and what became of it, is read from its log and from /proc.
 * Its clients are those of `relay-process.ts`.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { SmtpReceiver } from "../crash/smtp-receiver.ts";
import { LineClient } from "../fakes/line-client.ts";
import { askEverything } from "../support/canaries/relay.ts";
import { freePort } from "../support/ports.ts";
import { startRelay, type RelayBuild } from "../support/postern.ts";
import type { RunningProcess } from "../support/process.ts";
import { tempDir, type TempDir } from "../support/temp-dir.ts";
import type { Accepted } from "./hostile-relay.ts";

/** A log line, as far as it is looked at. */
interface Line extends Partial<Omit<Accepted, "reversePath" | "recipients">> {
  readonly event?: string;
  readonly session?: string;
  readonly reversePath?: string;
  readonly recipients?: readonly string[];
}

/** Asked for again and again while nothing happens: the relay gives back what it needed only for a while once it had two minutes of rest. */
const LOOK_EVERY_MS = 4_000;
const CALM_LOOKS = 36;
const MOST_LOOKS = 90;

/** An address whose session marks a place in the log; no case of the fuzzer comes from it. */
const MARKER = "127.0.1.254";

export class HostileDaemon implements AsyncDisposable {
  readonly port: number;
  readonly accepted: Accepted[] = [];
  /** Lines of the log that tell of a fault, and the end of the process. */
  readonly faults: string[] = [];
  readonly #relay: RunningProcess;
  readonly #folder: TempDir;
  readonly #hop: SmtpReceiver;
  readonly #adminPort: number;
  /** Sessions that the log tells of as open. */
  readonly #open = new Map<string, string>();
  readonly #watchers = new Set<() => void>();
  /** Sessions of the marker: how many there were, and of how many the end was read. */
  #marks = 0;
  #marksRead = 0;
  #stopping = false;

  private constructor(relay: RunningProcess, port: number, adminPort: number, folder: TempDir, hop: SmtpReceiver) {
    this.port = port;
    this.#relay = relay;
    this.#adminPort = adminPort;
    this.#folder = folder;
    this.#hop = hop;
    relay.onLine((line) => this.#read(line));
    void relay.exited.then(({ code, signal }) => {
      if (!this.#stopping) this.#fault(`the process ended: ${signal ?? code}`);
    });
  }

  static async start(build: RelayBuild): Promise<HostileDaemon> {
    const folder = await tempDir("postern-hostile-");
    const hop = new SmtpReceiver(() => "250 2.0.0 Ok: taken");
    const [hopPort, port, adminPort] = [await hop.listen(), await freePort(), await freePort()];
    const configFile = join(folder.path, "postern.yaml");
    const configuration = {
      hostname: "relay.contoso.com",
      data_dir: "data",
      organization: { domains: ["contoso.com"], postmaster: "it@contoso.com" },
      listeners: { printers: { listen: `127.0.0.1:${port}` } },
      clients: {
        floor: { networks: ["127.0.0.1/32", "127.0.1.0/24"], fallback_sender: "scans@contoso.com" },
        app: { networks: ["127.0.0.9/32", "127.0.9.0/24"], senders: "any", recipients: "any" },
      },
      upstreams: { next: { type: "smart-host", host: "127.0.0.1", port: hopPort, tls: "none" } },
      routes: [{ name: "default", via: "next" }],
      admin: { listen: `127.0.0.1:${adminPort}` },
      log: { level: "debug" },
    };
    await writeFile(configFile, JSON.stringify(configuration));
    const relay = await startRelay({ configFile, dataDir: join(folder.path, "data"), smtpPort: port, adminPort }, { build });
    return new HostileDaemon(relay, port, adminPort, folder, hop);
  }

  get pid(): number {
    return this.#relay.pid;
  }

  /** How many sessions are open once everything that was logged until now is read. */
  async figures(): Promise<{ readonly sessions: number }> {
    if (this.faults.length > 0) return { sessions: 0 };
    await using marker = await LineClient.open(this.port, MARKER);
    await marker.reply();
    await marker.say("QUIT");
    await marker.end();
    const mark = ++this.#marks;
    await this.#until(() => this.#marksRead >= mark);
    return { sessions: this.#open.size };
  }

  /** Resident memory of the process now. */
  async rssBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, "latin1");
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  }

  /** Resident memory once it does not fall any more. */
  async restingRssBytes(): Promise<number> {
    let lowest = await this.rssBytes();
    for (let looks = 0, calm = 0; calm < CALM_LOOKS && looks < MOST_LOOKS; looks++) {
      // Another process has no event for this.
      await wait(LOOK_EVERY_MS);
      const now = await this.rssBytes();
      calm = now < lowest * 0.99 ? 0 : calm + 1;
      lowest = Math.min(lowest, now);
    }
    return lowest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    await Promise.race([askEverything(join(this.#folder.path, "data"), this.#adminPort), this.#relay.exited]);
    await this.#relay.stop("SIGTERM", 30_000);
    await this.#hop.close();
    await this.#folder.remove();
  }

  #read(text: string): void {
    const line = parse(text);
    if (line === undefined) return this.#fault(text);
    const { event, session, device = "" } = line;
    switch (event) {
      case "session.opened":
        if (session !== undefined) this.#open.set(session, device);
        break;
      case "session.closed":
        if (this.#open.get(session ?? "") === MARKER) this.#marksRead++;
        this.#open.delete(session ?? "");
        break;
      case "message.accepted":
        this.accepted.push({
          queueId: line.queueId ?? "",
          device,
          reversePath: line.reversePath ?? "",
          recipients: line.recipients ?? [],
          sizeBytes: line.sizeBytes ?? 0,
        });
        break;
      case "daemon.crashed":
      case "observe.failed":
      case "queue.failed":
      case "log.dropped":
        this.#fault(text);
        break;
      default:
        return;
    }
    for (const watcher of this.#watchers) watcher();
  }

  #fault(text: string): void {
    this.faults.push(text);
    for (const watcher of this.#watchers) watcher();
  }

  #until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const watcher = (): void => {
        if (!holds() && this.faults.length === 0) return;
        this.#watchers.delete(watcher);
        resolve();
      };
      this.#watchers.add(watcher);
      watcher();
    });
  }
}

/** undefined for what is no line of the log: Node's own words on an unhandled rejection, say. */
function parse(text: string): Line | undefined {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return undefined;
  }
}
