/** `postern simulate`: the stand-in for Microsoft 365 alone, until it is interrupted. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { PosternError } from "../mail/errors.ts";
import { watchSignals } from "../platform/signals.ts";
import type { Simulator, SimulatorPorts } from "../simulator/simulator.ts";
import { DEFAULT_PORTS, startSimulator } from "../simulator/simulator.ts";
import type { GlobalOptions } from "./options.ts";
import { harmless, paint, print, printJson, renderPairs } from "./table.ts";

export interface SimulateOptions extends GlobalOptions {
  /** Keys, certificates and credentials are kept here; undefined: in a temporary folder that goes with the process. */
  readonly directory: string | undefined;
}

/** Prints where it listens and what to sign in with, then what arrives. */
export async function simulateCommand(options: SimulateOptions): Promise<number> {
  const temporary = options.directory === undefined;
  const directory = options.directory === undefined ? await mkdtemp(join(tmpdir(), "postern-simulate-")) : resolve(options.directory);
  try {
    const interrupted = new Promise<void>((stop) => watchSignals({ stop: () => stop(), reload: () => {} }));
    const simulator = await startOnFreePorts(directory);
    const view = describe(simulator, directory);
    if (options.json) printJson(view);
    else print(...renderHints(view));
    const silence = simulator.on((event) => {
      if (event.type !== "message.received") return;
      const { reversePath, recipients } = event.message;
      if (!options.json) print(`received from ${harmless(reversePath)} to ${harmless(recipients.join(", "))}`);
    });
    await interrupted;
    silence();
    await simulator.close();
    return 0;
  } finally {
    if (temporary) await rm(directory, { recursive: true, force: true });
  }
}

/** The documented ports, or free ones when another program has one of them. */
async function startOnFreePorts(directory: string): Promise<Simulator> {
  try {
    return await startSimulator({ directory, ports: DEFAULT_PORTS, demoCredentials: true });
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    if (error.code === "EACCES" || error.code === "EROFS" || error.code === "ENOTDIR") {
      throw new PosternError("E_UNAVAILABLE", `cannot write to ${directory}: ${error.code}`, { cause: error });
    }
    if (error.code !== "EADDRINUSE") throw error;
  }
  return startSimulator({ directory, demoCredentials: true });
}

interface SimulatorView {
  readonly ports: SimulatorPorts;
  readonly host: string;
  readonly authority: string;
  readonly graph: string;
  /** What an Azure Arc machine has as IDENTITY_ENDPOINT. */
  readonly arc: string;
  readonly view: string;
  readonly ca: string;
  readonly tenant: string;
  readonly mailbox: string | undefined;
  readonly client_id: string | undefined;
  /** Files, so that no secret is printed. */
  readonly secret: string;
  readonly certificate: string;
  readonly key: string;
}

function describe(simulator: Simulator, directory: string): SimulatorView {
  const { tenant } = simulator;
  return {
    ports: simulator.ports,
    host: simulator.host,
    authority: simulator.authority,
    graph: simulator.graphUrl,
    arc: simulator.arcEndpoint,
    view: simulator.viewUrl,
    ca: simulator.caFile,
    tenant: tenant.domain,
    mailbox: tenant.mailboxes[0]?.address,
    client_id: tenant.apps[0]?.clientId,
    secret: join(directory, "client-secret"),
    certificate: join(directory, "client-certificate.pem"),
    key: join(directory, "client-key.pem"),
  };
}

function renderHints(view: SimulatorView): string[] {
  return [
    paint("bold", "The stand-in for Microsoft 365 is running; Ctrl-C ends it."),
    ...renderPairs([
      ["submission", `${view.host}:${view.ports.submission} (STARTTLS, XOAUTH2)`],
      ["authority", view.authority],
      ["Graph", view.graph],
      ["Azure Arc", view.arc],
      ["mailbox view", view.view],
      ["trust", view.ca],
      ["tenant", view.tenant],
      ["mailbox", view.mailbox ?? ""],
      ["client id", view.client_id ?? ""],
      ["secret", view.secret],
      ["certificate", `${view.certificate}, key ${view.key}`],
    ]),
    "",
    `An upstream that uses it (with organization.tenant: ${view.tenant}):`,
    "  scans:",
    "    type: smtp-auth",
    `    mailbox: ${view.mailbox ?? ""}`,
    `    host: ${view.host}`,
    `    port: ${view.ports.submission}`,
    `    authority: ${view.authority}`,
    `    ca: [${view.ca}]`,
    `    credential: { type: client-secret, client_id: ${view.client_id ?? ""}, secret: { file: ${view.secret} } }`,
    "",
    `See what arrived: curl ${view.view}api/messages`,
  ];
}
