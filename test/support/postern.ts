/** The relay as a process of its own, with a smart host as its only way out: what the benches and the crash harness need. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as wait } from "node:timers/promises";
import { freePort } from "./ports.ts";
import { startProcess, type RunningProcess } from "./process.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The program as it was built, for Node. */
export const PROGRAM = join(root, "dist/main.js");
/** The same from the sources. */
export const SOURCE = join(root, "src/main.ts");

export interface RelayOptions {
  /** Existing folder for the configuration and, in `data`, the queue. */
  readonly folder: string;
  /** Port of the next hop on 127.0.0.1, which speaks plain SMTP. */
  readonly smartHostPort: number;
  /** Connections to the next hop. Default 20. */
  readonly connections?: number | undefined;
  /** `max_message_size` of client and upstream, as the configuration writes it. Default 33MiB. */
  readonly maxMessageSize?: string | undefined;
  /** Further YAML at the top level. */
  readonly extra?: string | undefined;
}

/** A configuration on disk and the ports it names. */
export interface RelayFiles {
  readonly configFile: string;
  readonly dataDir: string;
  readonly smtpPort: number;
  readonly adminPort: number;
}

/** Writes a configuration with one listener on 127.0.0.1 that relays anything from loopback to the smart host. */
export async function writeRelayConfig(options: RelayOptions): Promise<RelayFiles> {
  const [smtpPort, adminPort] = [await freePort(), await freePort()];
  const configFile = join(options.folder, "postern.yaml");
  const dataDir = join(options.folder, "data");
  const size = options.maxMessageSize ?? "33MiB";
  await writeFile(
    configFile,
    `hostname: relay.plant.example
data_dir: ${JSON.stringify(dataDir)}
organization: { domains: [plant.example], postmaster: postmaster@plant.example }
listeners:
  printers: { listen: "127.0.0.1:${smtpPort}" }
clients:
  floor: { networks: [127.0.0.0/8], senders: any, recipients: any, max_message_size: ${size} }
upstreams:
  next:
    type: smart-host
    host: 127.0.0.1
    port: ${options.smartHostPort}
    tls: none
    limits: { connections: ${options.connections ?? 20}, max_message_size: ${size} }
routes:
  - { name: default, via: [next] }
admin: { listen: "127.0.0.1:${adminPort}" }
${options.extra ?? ""}`,
  );
  return { configFile, dataDir, smtpPort, adminPort };
}

/** `dist` is what users run, after `npm run build`; `source` needs no build. */
export type RelayBuild = "dist" | "source";

/** Program and arguments of a command as somebody types it. */
export function posternCommand(build: RelayBuild, configFile: string, ...args: readonly string[]): [string, string[]] {
  return [process.execPath, [join(root, build === "dist" ? "bin/postern" : "src/main.ts"), ...args, "--config", configFile]];
}

/** Program and arguments that run the relay, for those who start it under another program (strace). */
export function relayCommand(build: RelayBuild, configFile: string): [string, string[]] {
  return posternCommand(build, configFile, "run");
}

/**
 * Starts the relay and waits until `/readyz` says 200.
 *
 * @throws Error with its last lines when it ends first or is not ready within 20 s
 */
export async function startRelay(
  files: RelayFiles,
  options: {
    readonly build?: RelayBuild | undefined;
    readonly stdoutFd?: number | undefined;
    readonly env?: NodeJS.ProcessEnv | undefined;
  } = {},
): Promise<RunningProcess & { readonly readyMs: number }> {
  const startedAt = performance.now();
  const [command, args] = relayCommand(options.build ?? "dist", files.configFile);
  const relay = await startProcess(command, args, { stdoutFd: options.stdoutFd, env: options.env });
  await untilReady(files.adminPort, relay);
  return { ...relay, readyMs: performance.now() - startedAt };
}

/** Waits for `/readyz` of a relay that was started otherwise. */
export async function untilReady(adminPort: number, relay: RunningProcess, timeoutMs = 20_000): Promise<void> {
  let ended = false;
  void relay.exited.then(() => (ended = true));
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (ended) throw new Error(`the relay ended before it was ready. Its last lines:\n${relay.lines.slice(-20).join("\n")}`);
    if (performance.now() > deadline) {
      await relay.stop("SIGKILL");
      throw new Error(`the relay was not ready in ${timeoutMs} ms. Its last lines:\n${relay.lines.slice(-20).join("\n")}`);
    }
    if (await isReady(adminPort)) return;
    // Another process has no event for this; 5 ms is a fine enough measure of a start.
    await wait(5);
  }
}

async function isReady(adminPort: number): Promise<boolean> {
  try {
    const answer = await fetch(`http://127.0.0.1:${adminPort}/readyz`);
    await answer.arrayBuffer();
    return answer.status === 200;
  } catch {
    return false;
  }
}
