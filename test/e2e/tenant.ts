/** The whole product in one process: the relay with a door to the stand-in for Microsoft 365, both on a clock that the test moves. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { formatFinding } from "../../src/config/finding.ts";
import { startDaemon, type Daemon } from "../../src/daemon/daemon.ts";
import type { EventName, EventOf, PosternEvent } from "../../src/mail/events.ts";
import { createObserver, type Observer } from "../../src/observe/observer.ts";
import { startSimulator, type Simulator, type SimulatorOptions } from "../../src/simulator/simulator.ts";
import { CONNECTOR_ADDRESS, DEFAULT_CLIENT_ID, DEFAULT_SECRET } from "../../src/simulator/tenant.ts";
import { overhear, PAGE } from "../support/canaries/canaries.ts";
import { askEverything, overheardLog } from "../support/canaries/relay.ts";
import { usedKeys } from "../support/keys.ts";
import { tempDir } from "../support/temp-dir.ts";
import { MovingClock } from "./moving-clock.ts";
import { submit } from "./submit.ts";

export const SCANNER = "scanner@contoso.com";
export const ANNA = "anna@contoso.com";
export const POSTMASTER = "it@contoso.com";
/** What must never be read in a log: the right secret, a wrong one, tokens and their SASL form, keys. */
export const WRONG_SECRET = "canary~wrong~secret~0815";
export const NEVER_LOGGED = [DEFAULT_SECRET, WRONG_SECRET, "eyJ", Buffer.from("user=").toString("base64").slice(0, 6), "PRIVATE KEY"];

export interface ContosoOptions {
  readonly credential?: "client-secret" | "client-certificate" | undefined;
  /** What the secret's file holds at the start; null: there is no file. Default the right one. */
  readonly secret?: string | null | undefined;
  readonly postmaster?: string | undefined;
  /** `retry.first`, which is also the wait before the first probe of a held door. Default 1s. */
  readonly retryFirst?: string | undefined;
  /** `sender` of the upstream. Default: what the product does by itself. */
  readonly sender?: unknown;
  /** Also a door by Graph, with these keys besides the usual ones. */
  readonly graph?: Readonly<Record<string, unknown>> | undefined;
  /** The route's doors in order; `connector`: one by address beside the mailbox. Default: scans. */
  readonly via?: readonly ("scans" | "connector" | "graph")[] | undefined;
  /** Further upstreams, and what the one door is given besides; by name. */
  readonly upstreams?: ((sim: Simulator) => Readonly<Record<string, Readonly<Record<string, unknown>>>>) | undefined;
  /** Default: everything by `scans`. */
  readonly routes?: readonly unknown[] | undefined;
  /** How the stand-in starts, besides the usual. */
  readonly standIn?: Partial<SimulatorOptions> | undefined;
  /** Done with the stand-in and the configuration's file before the relay starts. */
  readonly beforehand?: ((sim: Simulator, configFile: string) => Promise<void>) | undefined;
  /** Further keys at the top level. */
  readonly more?: ((sim: Simulator) => Readonly<Record<string, unknown>>) | undefined;
  /** Changes the stand-in before the relay starts. */
  readonly prepare?: ((sim: Simulator) => void) | undefined;
}

/** The relay and the stand-in. */
export interface Contoso {
  readonly sim: Simulator;
  readonly clock: MovingClock;
  readonly folder: string;
  readonly relay: () => Daemon;
  /** All events of the relay so far. */
  readonly events: readonly PosternEvent[];
  /** The first event of that kind, past or coming, that fits. */
  readonly event: <N extends EventName>(type: N, fits?: (event: EventOf<N>) => boolean) => Promise<EventOf<N>>;
  readonly all: <N extends EventName>(type: N) => EventOf<N>[];
  /** Writes the secret's file. */
  readonly writeSecret: (value: string) => Promise<void>;
  /** A device submits a small scan; resolves with the queue id. */
  readonly scan: (from: string, ...to: string[]) => Promise<string>;
  /** The orderly way, and anew on the same folder. */
  readonly restart: () => Promise<void>;
  /**
   * What always holds: the books balance, the protocol was kept, no secret was logged.
   *
   * @param onlyDelivered - nothing ended but by delivery
   */
  readonly expectSound: (onlyDelivered?: boolean) => Promise<void>;
  readonly close: () => Promise<void>;
}

export async function startContoso(options: ContosoOptions = {}): Promise<Contoso> {
  const folder = await tempDir();
  const clock = new MovingClock();
  const sim = await startSimulator({
    directory: join(folder.path, "stand-in"),
    demoCredentials: options.credential === "client-certificate",
    clock,
    submission: { tarpitMs: 0 },
    keys: usedKeys(),
    ...options.standIn,
  });
  options.prepare?.(sim);
  const secretFile = join(folder.path, "secret");
  const writeSecret = (value: string) => writeFile(secretFile, `${value}\n`, { mode: 0o600 });
  if (options.secret !== null) await writeSecret(options.secret ?? DEFAULT_SECRET);
  const configFile = join(folder.path, "postern.yaml");
  await writeFile(configFile, JSON.stringify(configuration(sim, options)));
  await options.beforehand?.(sim, configFile);

  const lines: string[] = [];
  const events: PosternEvent[] = [];
  const watchers = new Set<(event: PosternEvent) => void>();
  let observer: Observer | undefined;
  const start = async (): Promise<Daemon> => {
    const loaded = await loadConfig(configFile);
    if (!loaded.ok) throw new Error(loaded.faults.map(formatFinding).join("\n"));
    observer = createObserver({ log: { level: "debug", destination: overheardLog(lines) }, clock });
    const { emit: observe } = observer;
    const emit = (event: PosternEvent): void => {
      observe(event);
      events.push(event);
      for (const watcher of watchers) watcher(event);
    };
    return await startDaemon(loaded.config, { observer: { ...observer, emit }, clock });
  };
  let relay = await start();
  let serial = 0;

  return {
    sim,
    clock,
    folder: folder.path,
    relay: () => relay,
    events,
    event: (type, fits = () => true) => {
      type Wanted = EventOf<typeof type>;
      const isWanted = (event: PosternEvent): event is Wanted => event.type === type && fits(event as Wanted);
      const past = events.find(isWanted);
      if (past !== undefined) return Promise.resolve(past);
      return new Promise((resolve) => {
        const watcher = (event: PosternEvent): void => {
          if (!isWanted(event)) return;
          watchers.delete(watcher);
          resolve(event);
        };
        watchers.add(watcher);
      });
    },
    all: (type) => events.filter((event): event is EventOf<typeof type> => event.type === type),
    writeSecret,
    scan: (from, ...to) => {
      serial += 1;
      return submit(relay.addresses[0]?.port ?? 0, {
        from,
        to,
        content: `From: ${from}\r\nTo: ${to.join(", ")}\r\nSubject: Scan ${serial}\r\n\r\nPage ${serial} ${PAGE}\r\n`,
      });
    },
    restart: async () => {
      await relay.stop();
      observer?.close();
      relay = await start();
    },
    expectSound: async (onlyDelivered = false) => {
      const { accepted, generated, final, waiting } = await relay.queue.statistics();
      const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0);
      expect(accepted + generated).toBe(sum(final) + sum(waiting));
      if (onlyDelivered) expect(final).toMatchObject({ bounced: 0, expired: 0, deleted: 0 });
      expect(sim.violations).toEqual([]);
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.filter((line) => NEVER_LOGGED.some((secret) => line.includes(secret)))).toEqual([]);
    },
    close: async () => {
      await askEverything(join(folder.path, "data"), relay.adminAddresses[0]?.port);
      for (const { content } of sim.messages()) overhearDelivered(content?.toString("latin1") ?? "");
      await relay.stop();
      observer?.close();
      await sim.close();
      await folder.remove();
    },
  };
}

/** Mail carries no secret; a report tells of a message without its body. */
function overhearDelivered(content: string): void {
  overhear("a delivered message", content, { content: !/^Content-Type: multipart\/report/im.test(content) });
}

function configuration(
  sim: Simulator,
  { credential, postmaster, retryFirst, sender, graph, via, upstreams, routes, more: further }: ContosoOptions,
): unknown {
  const { scans: more, ...others } = upstreams?.(sim) ?? {};
  return {
    hostname: "relay.contoso.com",
    data_dir: "data",
    organization: {
      tenant: "contoso.onmicrosoft.com",
      domains: ["contoso.com"],
      postmaster: postmaster ?? POSTMASTER,
      default_sender: SCANNER,
    },
    listeners: { printers: { listen: "127.0.0.1:0" } },
    clients: { floor: { networks: ["127.0.0.0/8"], recipients: "any" } },
    upstreams: {
      scans: {
        type: "smtp-auth",
        host: "127.0.0.1",
        port: sim.ports.submission,
        authority: sim.authority,
        ca: "stand-in/ca.pem",
        mailbox: SCANNER,
        ...(sender === undefined ? {} : { sender }),
        credential:
          credential === "client-certificate"
            ? {
                type: credential,
                client_id: DEFAULT_CLIENT_ID,
                certificate: "stand-in/client-certificate.pem",
                key: "stand-in/client-key.pem",
              }
            : { type: "client-secret", client_id: DEFAULT_CLIENT_ID, secret: { file: "secret" } },
        ...more,
      },
      ...(via?.includes("connector") === true ? { connector: connectorByAddress(sim) } : {}),
      ...(graph === undefined
        ? {}
        : {
            graph: {
              type: "graph",
              mailbox: SCANNER,
              graph_host: sim.graphUrl,
              authority: sim.authority,
              ca: "stand-in/ca.pem",
              credential: { type: "client-secret", client_id: DEFAULT_CLIENT_ID, secret: { file: "secret" } },
              ...graph,
            },
          }),
      ...others,
    },
    routes: routes ?? [{ name: "default", via: via ?? ["scans"] }],
    retry: { first: retryFirst ?? "1s", max: "1d" },
    admin: { listen: "127.0.0.1:0" },
    ...further?.(sim),
  };
}

function connectorByAddress(sim: Simulator): unknown {
  const network = { source_address: CONNECTOR_ADDRESS };
  return { type: "connector", domain: "contoso.com", host: "127.0.0.1", port: sim.ports.mx, ca: "stand-in/ca.pem", network };
}

/** A header field's value of a message as the stand-in keeps them; undefined when it has none. */
export function header(
  message: { readonly headers: readonly { readonly name: string; readonly value: string }[] },
  name: string,
): string | undefined {
  return message.headers.find((field) => field.name.toLowerCase() === name.toLowerCase())?.value.trim();
}
