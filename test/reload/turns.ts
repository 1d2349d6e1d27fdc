/** The changes that the reload harness makes, one after another, and what each must do. */
import { connect } from "node:net";
import { LineClient } from "../fakes/line-client.ts";

export type Section = Readonly<Record<string, unknown>>;

export interface Ports {
  readonly smtp: number;
  readonly admin: number;
  /** For the listener that comes and goes. */
  readonly extra: number;
  /** The next hops of the doors `first` and `second`. */
  readonly first: number;
  readonly second: number;
}

/** One reload. */
export interface Turn {
  readonly what: string;
  /** What the file says. */
  readonly text: string;
  /** The keys that the reload must name as changed, or the fault that it must tell. */
  readonly expect: { readonly changed: readonly string[] } | { readonly fault: RegExp };
  /** Shows that the change is in force: throws where it is not. */
  readonly check?: (harness: TurnChecks) => Promise<void>;
}

/** What the checks need of the harness. */
export interface TurnChecks {
  /** A message by a connection to the listener that comes and goes; the connection is opened with the first one and kept. */
  readonly submitByExtra: () => Promise<void>;
  readonly closeExtra: () => void;
  /** Resolves with the next delivery by that door. */
  readonly deliveredBy: (door: "first" | "second") => Promise<void>;
}

/** An address that belongs to a client of its own, which comes and goes. */
const ANNEX = "127.0.2.1";
const DOORS = ["first", "second"] as const;

/** The configuration at the start. */
export function firstConfiguration(ports: Ports): Section {
  const door = (port: number) => ({ type: "smart-host", host: "127.0.0.1", port, tls: "none", limits: { connections: 8 } });
  return {
    hostname: "relay.plant.example",
    data_dir: "data",
    organization: { domains: ["plant.example"], postmaster: "postmaster@plant.example" },
    listeners: { printers: { listen: `127.0.0.1:${ports.smtp}` } },
    clients: { floor: { networks: ["127.0.0.0/23"], senders: "any", recipients: "any" } },
    upstreams: { first: door(ports.first), second: door(ports.second) },
    routes: [{ name: "default", via: ["first"] }],
    limits: { sessions_per_device: 100 },
    retry: { first: "1s" },
    admin: { listen: `127.0.0.1:${ports.admin}` },
  };
}

/** Rounds of turns without end. Each round comes back to the configuration of the start, but for values that are other ones each time. */
export function* turns(ports: Ports): Generator<Turn> {
  let current = firstConfiguration(ports);
  const taken = (what: string, keys: Section, changed: readonly string[], check?: Turn["check"]): Turn => {
    current = { ...current, ...keys };
    return { what, text: JSON.stringify(current, undefined, 2), expect: { changed }, ...(check && { check }) };
  };
  const broken = (round: number, turn: number): Turn => faulty(current, ports, round * 3 + turn);
  const { clients, listeners, upstreams } = current as Record<"clients" | "listeners" | "upstreams", Section>;
  for (let round = 0; ; round += 1) {
    const door = DOORS[(round + 1) % 2] ?? "first";
    const first = { ...(upstreams?.["first"] as Section), limits: { connections: 4 + (round % 4) } };
    yield taken("a client added", { clients: { ...clients, annex: { networks: [ANNEX] } } }, ["clients.annex"], () =>
      greeting(ANNEX, ports.smtp, "220"),
    );
    yield broken(round, 0);
    yield taken("the route changed", { routes: [{ name: "default", via: [door] }] }, ["routes"], ({ deliveredBy }) => deliveredBy(door));
    const extra = { listen: `127.0.0.1:${ports.extra}` };
    yield taken("a listener added", { listeners: { ...listeners, extra } }, ["listeners.extra"], ({ submitByExtra }) => submitByExtra());
    yield broken(round, 1);
    yield taken("limits changed", { limits: { sessions_per_device: 101 + round }, upstreams: { ...upstreams, first } }, [
      "limits.sessions_per_device",
      "upstreams.first.limits.connections",
    ]);
    yield taken("the listener removed, its session goes on", { listeners }, ["listeners.extra"], async ({ submitByExtra, closeExtra }) => {
      await submitByExtra();
      closeExtra();
      await refused(ports.extra);
    });
    yield broken(round, 2);
    yield taken("the client removed", { clients }, ["clients.annex"], () => greeting(ANNEX, ports.smtp, "554"));
  }
}

/** Files that must change nothing, whatever was right in them besides: each also takes the only client away. */
function faulty(current: Section, ports: Ports, turn: number): Turn {
  const file = (keys: Section): string =>
    JSON.stringify({ ...current, clients: { nobody: { networks: ["192.0.2.1"] } }, ...keys }, undefined, 2);
  const faults: readonly (readonly [what: string, text: string, fault: RegExp])[] = [
    ["an unknown key", file({ lissteners: {} }), /postern\.yaml:\d+:\d+ lissteners: /],
    ["half a file", file({}).slice(0, 200), /postern\.yaml:\d+:\d+/],
    [
      "an address that is taken",
      file({ listeners: { ...(current["listeners"] as Section), more: { listen: `127.0.0.1:${ports.first}` } } }),
      /EADDRINUSE/,
    ],
    ["a route by no door", file({ routes: [{ name: "default", via: ["third"] }] }), /postern\.yaml:\d+:\d+ routes\[0\]\.via.*third/],
    ["a duration without unit", file({ retry: { first: "1 second" } }), /postern\.yaml:\d+:\d+ retry\.first: /],
    ["an empty file", "", /postern\.yaml/],
  ];
  const [what, text, fault] = faults[turn % faults.length] ?? ["an empty file", "", /postern\.yaml/];
  return { what: `broken: ${what}`, text, expect: { fault } };
}

async function greeting(from: string, port: number, code: string): Promise<void> {
  await using client = await LineClient.open(port, from);
  const reply = await client.reply();
  if (!reply.startsWith(code)) throw new Error(`${from} should be greeted with ${code} and heard ${reply}`);
}

function refused(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", () => resolve());
    socket.once("connect", () => {
      socket.destroy();
      reject(new Error("the listener that was removed still listens"));
    });
  });
}
