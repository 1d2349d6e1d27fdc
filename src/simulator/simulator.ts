/** Starts the stand-in for Microsoft 365: a token endpoint, a submission host and a view of what arrived, on one tenant. */
import { KeyObject } from "node:crypto";
import { once } from "node:events";
import path from "node:path";
import type { AddressInfo, Server } from "node:net";

import { systemClock } from "../platform/clock.ts";
import type { Clock } from "../platform/clock.ts";
import { ArcAgent } from "./arc.ts";
import { DnsServer } from "./dns-server.ts";
import { createEntra } from "./entra.ts";
import { FaultBook } from "./faults.ts";
import { GraphService } from "./graph.ts";
import { DEFAULT_GRAPH } from "./graph-throttle.ts";
import type { GraphSettings } from "./graph-throttle.ts";
import { createMailHosts } from "./mail-hosts.ts";
import { MailStore } from "./mail-store.ts";
import type { ReceivedMessage, Violation } from "./mail-store.ts";
import { UsageBook } from "./mailbox-usage.ts";
import { MovableClock } from "./movable-clock.ts";
import { SERVER_NAMES, createAppCertificate, newKeys, openAuthority, writeWhole } from "./pki.ts";
import type { CertificateAuthority, ClientCertificate, ClientCertificateOptions, KeySource } from "./pki.ts";
import type { SimulatorEvent, SimulatorListener } from "./simulator-events.ts";
import { DEFAULT_SUBMISSION } from "./host-options.ts";
import type { SubmissionSettings } from "./host-options.ts";
import { makeTenant } from "./tenant.ts";
import type { Tenant, TenantOptions } from "./tenant.ts";
import { TokenIssuer } from "./token-issuer.ts";
import { DEFAULT_SIGN_IN, UserSignIns } from "./user-sign-ins.ts";
import type { SignInSettings } from "./user-sign-ins.ts";
import { createView } from "./view.ts";

/** Ports of the services; 0 takes a free one. */
export interface SimulatorPorts {
  readonly submission: number;
  /** The MX host: Direct Send and connectors. */
  readonly mx: number;
  /** High Volume Email. */
  readonly hve: number;
  /** Azure Communication Services. */
  readonly acs: number;
  /** DNS for the tenant's domains, UDP and TCP. */
  readonly dns: number;
  readonly entra: number;
  readonly graph: number;
  /** The managed identity endpoint of an Azure Arc agent. */
  readonly arc: number;
  readonly view: number;
}

/** Ports of `postern simulate`. */
export const DEFAULT_PORTS: SimulatorPorts = {
  submission: 2587,
  mx: 2526,
  hve: 2588,
  acs: 2589,
  dns: 2553,
  entra: 2443,
  graph: 2444,
  arc: 40_342,
  view: 2580,
};

/** What the caller chooses. */
export interface SimulatorOptions {
  /** Where `ca.pem`, its key and demo credentials are kept; made when missing. */
  readonly directory: string;
  /** Address that the mail hosts and the token endpoint listen on. The view never leaves the loopback interface. */
  readonly host?: string | undefined;
  /** Default: free ports. */
  readonly ports?: Partial<SimulatorPorts> | undefined;
  readonly tenant?: TenantOptions | undefined;
  readonly submission?: Partial<SubmissionSettings> | undefined;
  readonly graph?: Partial<GraphSettings> | undefined;
  readonly signIn?: Partial<SignInSettings> | undefined;
  /** Where the Arc agent puts its key files. Default `arc-tokens` in the directory; msal reads /var/opt/azcmagent/tokens only. */
  readonly arcKeyDirectory?: string | undefined;
  /**
   * Writes credentials into the directory, 0600. What the first app signs in with: `client-secret`, `client-key.pem`, and
   * `client-certificate.pem`, which is uploaded to the app as well. What the connector by certificate knows: `connector.pem`, the whole chain,
   * and `connector-key.pem`. The password of the High Volume Email account: `hve-password`.
   */
  readonly demoCredentials?: boolean | undefined;
  /** Default: new ones each time. */
  readonly keys?: KeySource | undefined;
  /** Content kept in memory in all; beyond it only size and hashes. Default 256 MiB. */
  readonly maxContentBytes?: number | undefined;
  /** What makes the stand-in's time pass; `Simulator.clock` and `POST /api/clock` move it besides. Default: the machine's. */
  readonly clock?: Clock | undefined;
}

/** Which messages. */
export interface MessageFilter {
  readonly recipient?: string | undefined;
  readonly reversePath?: string | undefined;
  readonly messageId?: string | undefined;
}

/** A running stand-in. */
export interface Simulator {
  readonly host: string;
  readonly ports: SimulatorPorts;
  readonly caPem: string;
  readonly caFile: string;
  /** `https://host:port`: what stands for https://login.microsoftonline.com. */
  readonly authority: string;
  /** `https://host:port`: what stands for https://graph.microsoft.com. */
  readonly graphUrl: string;
  /** Port of Graph, like `ports.graph`. */
  readonly graphPort: number;
  /** `http://127.0.0.1:port/metadata/identity/oauth2/token`: what an Arc machine has as IDENTITY_ENDPOINT. */
  readonly arcEndpoint: string;
  /** Device codes and refresh tokens. */
  readonly signIns: UserSignIns;
  /** `http://127.0.0.1:port/`: the view. */
  readonly viewUrl: string;
  /** Live: what a test changes here counts from the next command on. */
  readonly tenant: Tenant;
  /** Live, like the tenant. */
  readonly settings: SubmissionSettings;
  /** Limits of Graph; live as well. */
  readonly graphSettings: GraphSettings;
  /** What all limits and time-outs of the stand-in go by. */
  readonly clock: MovableClock;
  readonly faults: FaultBook;
  readonly violations: readonly Violation[];
  /** What arrived, oldest first. */
  messages(filter?: MessageFilter): readonly ReceivedMessage[];
  /** What Microsoft had to slow down: messages over the message rate and requests that Graph answered with 429, by mailbox. */
  throttled(): Readonly<Record<string, number>>;
  /** Resolves with all messages once so many arrived. */
  waitFor(count: number): Promise<readonly ReceivedMessage[]>;
  /** Resolves with the first message, of those here and those to come, that the predicate is true for. */
  waitFor(predicate: (message: ReceivedMessage) => boolean): Promise<ReceivedMessage>;
  /** Tells of everything from now on; the returned function ends that. */
  on(listener: SimulatorListener): () => void;
  /** Issues a certificate that a client of the MX host can show, under the stand-in's authority. */
  issueClientCertificate(options: ClientCertificateOptions): Promise<ClientCertificate>;
  /** Resets every connection to the mail hosts. */
  dropConnections(): void;
  /** Forgets messages and violations and switches all faults off. */
  reset(): void;
  /** Stops listening, ends every connection. */
  close(): Promise<void>;
}

async function listen(server: Server, port: number, host: string): Promise<number> {
  server.listen(port, host);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Addresses besides the loopback ones that the certificate should name. */
function addressesFor(host: string): string[] {
  const usual = ["127.0.0.1", "::1"];
  return usual.includes(host) || host === "0.0.0.0" || host === "::" || !/^[\d.:a-f]+$/i.test(host) ? usual : [...usual, host];
}

/**
 * Starts it. When the promise resolves, every port is bound and `ca.pem` is written.
 *
 * @throws the system's error when a port is taken or the directory cannot be written; nothing is left running then
 */
export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const base = options.clock ?? systemClock;
  const clock = new MovableClock(base);
  const host = options.host ?? "127.0.0.1";
  const tenant = makeTenant(options.tenant);
  const settings: SubmissionSettings = { ...DEFAULT_SUBMISSION, ...options.submission };
  const faults = new FaultBook();
  const store = new MailStore(options.maxContentBytes);
  const listeners = new Set<SimulatorListener>();
  const emit = (event: SimulatorEvent): void => {
    for (const listener of listeners) listener(event);
  };

  const keys = options.keys ?? newKeys;
  const authority = await openAuthority(options.directory, clock.now(), keys);
  const [certificate, signing] = await Promise.all([authority.issueServer(SERVER_NAMES, addressesFor(host)), keys()]);
  if (options.demoCredentials === true) await writeCredentials(options.directory, tenant, authority, clock.now(), keys);

  const issuer = new TokenIssuer(KeyObject.from(signing.privateKey), tenant, clock);
  const usage = new UsageBook();
  const hosts = createMailHosts({ tenant, issuer, faults, store, usage, clock, settings, emit }, certificate, authority.certificatePem);
  const { submission, mx, hve, acs } = hosts;
  const mailHosts = [submission, mx, hve, acs];
  const signIns = new UserSignIns(tenant, clock, { ...DEFAULT_SIGN_IN, ...options.signIn });
  const verificationUri = (): string => `http://127.0.0.1:${(view.address() as AddressInfo).port}/devicelogin`;
  const keyDirectory = options.arcKeyDirectory ?? path.join(options.directory, "arc-tokens");
  const arc = new ArcAgent({ tenant, issuer, faults, clock, keyDirectory, emit });
  const entra = createEntra({ tenant, issuer, signIns, verificationUri, faults, clock, clientClock: base, certificate, emit });
  const graphSettings: GraphSettings = { ...DEFAULT_GRAPH, ...options.graph };
  const graph = new GraphService({ tenant, issuer, faults, store, usage, clock, certificate, settings: graphSettings, emit });
  const throttled = (): Record<string, number> => added(usage.throttled(), graph.throttle.refusedCounts());
  const dns = new DnsServer({ tenant, emit });
  const reset = (): void => {
    store.clear();
    graph.clear();
    signIns.clear();
    faults.clear();
  };
  // Known once all of them listen; no page is served before.
  const services = (): [string, string][] => [
    ["Submission (SMTP AUTH)", `${host}:${ports.submission}`],
    ["MX host (Direct Send, connectors)", `${host}:${ports.mx}`],
    ["High Volume Email", `${host}:${ports.hve}`],
    ["Communication Services", `${host}:${ports.acs}`],
    ["Entra (authority)", `https://${host}:${ports.entra}`],
    ["Graph", `https://${host}:${ports.graph}`],
    ["Azure Arc agent", `http://127.0.0.1:${ports.arc}/metadata/identity/oauth2/token`],
  ];
  const view = createView({ tenant, faults, store, clock, throttled, reset, signIns, services });

  const close = async (): Promise<void> => {
    faults.clear();
    for (const mailHost of mailHosts) mailHost.dropAll();
    entra.closeAllConnections();
    graph.server.closeAllConnections();
    arc.server.closeAllConnections();
    view.closeAllConnections();
    await Promise.all([
      dns.close(),
      ...[...mailHosts.map(({ server }) => server), entra, graph.server, arc.server, view].map(async (server) => {
        if (!server.listening) return;
        server.close();
        await once(server, "close");
      }),
    ]);
    await arc.clear();
  };

  let ports: SimulatorPorts;
  try {
    ports = {
      submission: await listen(submission.server, options.ports?.submission ?? 0, host),
      mx: await listen(mx.server, options.ports?.mx ?? 0, host),
      hve: await listen(hve.server, options.ports?.hve ?? 0, host),
      acs: await listen(acs.server, options.ports?.acs ?? 0, host),
      dns: await dns.listen(options.ports?.dns ?? 0, host),
      entra: await listen(entra, options.ports?.entra ?? 0, host),
      graph: await listen(graph.server, options.ports?.graph ?? 0, host),
      arc: await listen(arc.server, options.ports?.arc ?? 0, "127.0.0.1"),
      view: await listen(view, options.ports?.view ?? 0, "127.0.0.1"),
    };
  } catch (error) {
    await close();
    throw error;
  }

  function waitFor(count: number): Promise<readonly ReceivedMessage[]>;
  function waitFor(predicate: (message: ReceivedMessage) => boolean): Promise<ReceivedMessage>;
  function waitFor(wanted: number | ((message: ReceivedMessage) => boolean)): Promise<readonly ReceivedMessage[] | ReceivedMessage> {
    const found = (newest?: ReceivedMessage): readonly ReceivedMessage[] | ReceivedMessage | undefined => {
      if (typeof wanted === "number") return store.messages.length >= wanted ? store.messages : undefined;
      return (newest === undefined ? store.messages : [newest]).find(wanted);
    };
    const here = found();
    if (here !== undefined) return Promise.resolve(here);
    return new Promise((resolve) => {
      const listener: SimulatorListener = (event) => {
        const arrived = event.type === "message.received" ? found(event.message) : undefined;
        if (arrived === undefined) return;
        listeners.delete(listener);
        resolve(arrived);
      };
      listeners.add(listener);
    });
  }

  return {
    host,
    ports,
    caPem: authority.certificatePem,
    caFile: path.join(options.directory, "ca.pem"),
    authority: `https://${host.includes(":") ? `[${host}]` : host}:${ports.entra}`,
    graphUrl: `https://${host.includes(":") ? `[${host}]` : host}:${ports.graph}`,
    graphPort: ports.graph,
    arcEndpoint: `http://127.0.0.1:${ports.arc}/metadata/identity/oauth2/token`,
    signIns,
    viewUrl: `http://127.0.0.1:${ports.view}/`,
    tenant,
    settings,
    graphSettings,
    clock,
    faults,
    violations: store.violations,
    messages: (filter = {}) => store.messages.filter((message) => isMatch(message, filter)),
    throttled,
    waitFor,
    on(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    issueClientCertificate: (wanted) => authority.issueClient(wanted),
    dropConnections: () => {
      for (const mailHost of mailHosts) mailHost.dropAll();
    },
    reset,
    close,
  };
}

/** Counts of both, by mailbox. */
function added(some: Readonly<Record<string, number>>, others: Readonly<Record<string, number>>): Record<string, number> {
  const sum: Record<string, number> = { ...some };
  for (const [mailbox, count] of Object.entries(others)) sum[mailbox] = (sum[mailbox] ?? 0) + count;
  return sum;
}

function isMatch(message: ReceivedMessage, filter: MessageFilter): boolean {
  if (filter.reversePath !== undefined && message.reversePath !== filter.reversePath) return false;
  if (filter.messageId !== undefined && message.messageId !== filter.messageId) return false;
  const recipient = filter.recipient?.toLowerCase();
  return recipient === undefined || message.recipients.some((address) => address.toLowerCase() === recipient);
}

async function writeCredentials(
  directory: string,
  tenant: Tenant,
  authority: CertificateAuthority,
  now: number,
  keys: KeySource,
): Promise<void> {
  const connector = await authority.issueClient({ names: [tenant.domains[0] ?? tenant.domain] });
  await writeWhole(path.join(directory, "connector.pem"), connector.chainPem, 0o600);
  await writeWhole(path.join(directory, "connector-key.pem"), connector.keyPem, 0o600);
  await writeWhole(path.join(directory, "hve-password"), `${tenant.hveAccounts[0]?.password ?? ""}\n`, 0o600);
  const app = tenant.apps[0];
  if (app === undefined) return;
  const pair = await createAppCertificate(app.name, now, keys);
  app.certificates.push(pair.certificatePem);
  await writeWhole(path.join(directory, "client-secret"), `${app.secrets[0]?.value ?? ""}\n`, 0o600);
  await writeWhole(path.join(directory, "client-certificate.pem"), pair.certificatePem, 0o600);
  await writeWhole(path.join(directory, "client-key.pem"), pair.keyPem, 0o600);
}
