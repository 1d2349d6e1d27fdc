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
  /** `SERVICE=PORT` for services that are to have another port than the documented one. */
  readonly ports?: readonly string[] | undefined;
}

/** Prints where it listens and what to sign in with, then what arrives. */
export async function simulateCommand(options: SimulateOptions): Promise<number> {
  const temporary = options.directory === undefined;
  const chosen = readPorts(options.ports ?? []);
  const directory = options.directory === undefined ? await mkdtemp(join(tmpdir(), "postern-simulate-")) : resolve(options.directory);
  try {
    const interrupted = new Promise<void>((stop) => watchSignals({ stop: () => stop(), reload: () => {} }));
    const simulator = await startOnFreePorts(directory, chosen);
    const view = describe(simulator, directory);
    if (options.json) printJson(view);
    else print(...renderHints(view));
    const silence = simulator.on((event) => {
      if (event.type !== "message.received") return;
      const { door, reversePath, recipients } = event.message;
      if (!options.json) print(`received by ${door} from ${harmless(reversePath)} to ${harmless(recipients.join(", "))}`);
    });
    await interrupted;
    silence();
    await simulator.close();
    return 0;
  } finally {
    if (temporary) await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Reads `mx=2525`.
 *
 * @throws PosternError E_USAGE naming what is wrong
 */
function readPorts(given: readonly string[]): Partial<SimulatorPorts> {
  const services = Object.keys(DEFAULT_PORTS);
  return Object.fromEntries(
    given.map((text) => {
      const [service = "", port = ""] = text.split("=");
      if (!services.includes(service) || !/^\d{1,5}$/.test(port) || Number(port) > 65_535)
        throw new PosternError("E_USAGE", `--port: ${JSON.stringify(text)} is not SERVICE=PORT; services are ${services.join(", ")}`);
      return [service, Number(port)];
    }),
  );
}

/** The documented ports, or free ones when another program has one of them. Ports that were asked for are taken or it fails. */
async function startOnFreePorts(directory: string, chosen: Partial<SimulatorPorts>): Promise<Simulator> {
  try {
    return await startSimulator({ directory, ports: { ...DEFAULT_PORTS, ...chosen }, demoCredentials: true });
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    if (error.code === "EACCES" || error.code === "EROFS" || error.code === "ENOTDIR") {
      throw new PosternError("E_UNAVAILABLE", `cannot write to ${directory}: ${error.code}`, { cause: error });
    }
    if (error.code !== "EADDRINUSE") throw error;
  }
  try {
    return await startSimulator({ directory, ports: chosen, demoCredentials: true });
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
    throw new PosternError("E_UNAVAILABLE", `a port that was asked for is taken: ${error.message}`, { cause: error });
  }
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
  /** What the connector by certificate of the tenant knows: the whole chain, and its key. */
  readonly connector: { readonly certificate: string; readonly key: string };
  readonly hve: { readonly username: string; readonly password: string };
  readonly acs: { readonly username: string; readonly password: string };
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
    connector: { certificate: join(directory, "connector.pem"), key: join(directory, "connector-key.pem") },
    hve: { username: tenant.hveAccounts[0]?.address ?? "", password: join(directory, "hve-password") },
    acs: {
      username: `${tenant.acsResources[0]?.name ?? ""}|${tenant.apps[0]?.clientId ?? ""}|${tenant.id}`,
      password: join(directory, "client-secret"),
    },
  };
}

function renderHints(view: SimulatorView): string[] {
  return [
    paint("bold", "The stand-in for Microsoft 365 is running; Ctrl-C ends it."),
    ...renderPairs([
      ["submission", `${view.host}:${view.ports.submission} (STARTTLS, XOAUTH2)`],
      ["MX host", `${view.host}:${view.ports.mx} (Direct Send, connectors; no AUTH)`],
      ["High Volume", `${view.host}:${view.ports.hve} (${view.hve.username}, password in ${view.hve.password})`],
      ["Communication", `${view.host}:${view.ports.acs} (${view.acs.username})`],
      ["DNS", `${view.host}:${view.ports.dns} (the tenant's domains)`],
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
      ["connector", `${view.connector.certificate}, key ${view.connector.key}`],
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
    "  inside:",
    "    type: direct-send",
    `    host: ${view.host}`,
    `    port: ${view.ports.mx}`,
    `    ca: [${view.ca}]`,
    "  connector:",
    "    type: connector",
    `    host: ${view.host}`,
    `    port: ${view.ports.mx}`,
    `    ca: [${view.ca}]`,
    `    certificate: ${view.connector.certificate}`,
    `    key: ${view.connector.key}`,
    "",
    `See what arrived: curl ${view.view}api/messages`,
  ];
}
