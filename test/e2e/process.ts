/** The relay as the service manager starts it, and `postern` as an operator types it. */
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { askEverything } from "../support/canaries/relay.ts";
import { freePort } from "../support/ports.ts";
import { PROGRAM } from "../support/postern.ts";
import { runProcess, startProcess, type RunningProcess } from "../support/process.ts";

const ENV = { ...process.env, NO_COLOR: "1" };

/** Runs a command on a configuration to its end. */
export function postern(configFile: string, ...args: readonly string[]): ReturnType<typeof runProcess> {
  return runProcess(process.execPath, [PROGRAM, ...args, "--config", configFile], { env: ENV });
}

/** Runs `postern demo --once` to its end, with `folder` for its temporary files. */
export function demoOnce(folder: string, ...args: readonly string[]): ReturnType<typeof runProcess> {
  return runProcess(process.execPath, [PROGRAM, "demo", "--once", ...args], { env: { ...ENV, TMPDIR: folder } });
}

/** A configuration on disk. */
export interface Files {
  readonly configFile: string;
  readonly adminPort: number;
}

/**
 * Writes a configuration whose only door is a plain smart host on `nextHopPort`, with free ports for all it listens on.
 *
 * @param changes - keys at the top level that replace those
 */
export async function writeConfig(folder: string, nextHopPort: number, changes: Readonly<Record<string, unknown>> = {}): Promise<Files> {
  const configFile = join(folder, "postern.yaml");
  const adminPort = await freePort();
  const configuration = {
    hostname: "relay.contoso.com",
    data_dir: "data",
    organization: { domains: ["contoso.com"], postmaster: "it@contoso.com" },
    listeners: { printers: { listen: "127.0.0.1:0" } },
    clients: { floor: { networks: ["127.0.0.0/8"], recipients: "any" } },
    upstreams: { next: { type: "smart-host", host: "127.0.0.1", port: nextHopPort, tls: "none" } },
    routes: [{ name: "default", via: "next" }],
    retry: { first: "1s" },
    admin: { listen: `127.0.0.1:${adminPort}` },
    ...changes,
  };
  await writeFile(configFile, JSON.stringify(configuration, undefined, 2));
  return { configFile, adminPort };
}

/** How long a relay may take to answer before it is ended. */
const LAST_WORDS_MS = 5_000;

/**
 * Starts `postern run` and waits until it takes mail on `port`. Before it is stopped all that it answers is searched for secrets.
 *
 * @param nodeOptions - for Node, before the program
 * @param program - default what is built
 */
export async function run(
  { configFile, adminPort }: Files,
  nodeOptions: readonly string[] = [],
  program = PROGRAM,
): Promise<RunningProcess & { readonly port: number }> {
  const relay = await startProcess(process.execPath, [...nodeOptions, program, "run", "--config", configFile], { env: ENV });
  const bound = await relay.waitForEvent("listener.bound");
  await relay.waitForEvent("daemon.started");
  const stop: RunningProcess["stop"] = async (...how) => {
    // One that a test has stopped or is ending already does not answer any more.
    const late = new Promise((resolve) => setTimeout(resolve, LAST_WORDS_MS).unref());
    await Promise.race([askEverything(join(dirname(configFile), "data"), adminPort), relay.exited, late]);
    return relay.stop(...how);
  };
  return { ...relay, stop, port: Number(bound["port"]) };
}
