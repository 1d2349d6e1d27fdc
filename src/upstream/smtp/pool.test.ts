import fc from "fast-check";
import { expect, test } from "vitest";
import { ManualClock } from "../../platform/clock.ts";
import type { Refusal } from "../upstream.ts";
import { ConnectionGroup } from "./connection-group.ts";
import { SmtpConnection } from "./connection.ts";
import { faultAt } from "./fault.ts";
import { ConnectionPool } from "./pool.ts";
import type { Lease } from "./pool.ts";

/** A connection as the pool sees it: what the network and the next hop do to it, a test decides. */
class Line {
  state: "open" | "half-closed" | "quitting" | "gone" = "open";
  readonly connection: SmtpConnection;

  constructor(openedAt: number) {
    const gone = (): void => this.end();
    const quit = (): void => {
      if (this.state === "open") this.state = "quitting";
      else gone();
    };
    const members = { openedAt, idleSince: 0, transactions: 0, onClosed: undefined, abandon: gone, close: gone, sayQuit: quit };
    this.connection = Object.create(SmtpConnection.prototype) as SmtpConnection;
    for (const [name, value] of Object.entries(members)) Object.defineProperty(this.connection, name, { value, writable: true });
    Object.defineProperty(this.connection, "usable", { get: () => this.state === "open" });
    Object.defineProperty(this.connection, "expire", { value: () => undefined });
  }

  /** The connection is over, whoever ended it. */
  end(): void {
    if (this.state === "gone") return;
    this.state = "gone";
    this.connection.onClosed?.();
  }
}

interface Opening {
  readonly succeed: (atOnce: boolean) => void;
  readonly fail: (how: number) => void;
}

interface Request {
  readonly signal: AbortController;
}

const REFUSED = faultAt("connect", "ECONNREFUSED", "nobody listens");
const ABORTED = faultAt("connect", "ABORTED", "stopped");

/** One pool, and all that is known of it from outside. */
class Door {
  readonly pool: ConnectionPool;
  readonly openings: Opening[] = [];
  readonly lines: Line[] = [];
  readonly requests: Request[] = [];
  readonly leased: SmtpConnection[] = [];
  closing: Promise<void> | undefined;
  isClosed = false;

  readonly size: number;

  constructor(size: number, group: ConnectionGroup, clock: ManualClock) {
    this.size = size;
    this.pool = new ConnectionPool({
      size,
      group,
      clock,
      keep: { idleMs: 60_000, ageMs: 240_000, messages: 3 },
      open: async (signal, watch) =>
        await new Promise((resolve, reject) => {
          const done = (result: SmtpConnection | Refusal | Error): void => {
            signal.removeEventListener("abort", stopped);
            const at = this.openings.indexOf(opening);
            if (at >= 0) this.openings.splice(at, 1);
            if (result instanceof Error) reject(result);
            else resolve(result);
          };
          const begin = (): Line => {
            const line = new Line(clock.monotonic());
            this.lines.push(line);
            watch(line.connection);
            return line;
          };
          const stopped = (): void => done(ABORTED);
          const opening: Opening = {
            succeed: (atOnce) => {
              // The first place to connect to was none, and has not ended yet.
              if (!atOnce) begin().state = "half-closed";
              done(begin().connection);
            },
            fail: (how) => {
              if (how > 0) begin();
              done(how > 1 ? new Error("a fault of ours") : REFUSED);
            },
          };
          this.openings.push(opening);
          signal.addEventListener("abort", stopped);
          if (signal.aborted) stopped();
        }),
    });
  }

  ask(begin: (signal: AbortSignal) => Promise<Lease | Refusal>): void {
    const request: Request = { signal: new AbortController() };
    this.requests.push(request);
    const ended = (outcome: Lease | Refusal | undefined): void => {
      this.requests.splice(this.requests.indexOf(request), 1);
      if (outcome !== undefined && "connection" in outcome) this.leased.push(outcome.connection);
    };
    void begin(request.signal.signal).then(ended, () => ended(undefined));
  }

  /** Places that the next hop, or somebody here, still counts. */
  get places(): number {
    return this.openings.length + this.lines.filter(({ state, connection }) => state !== "gone" || this.leased.includes(connection)).length;
  }

  /** Kept, and in use by nobody. */
  get idle(): number {
    return this.lines.filter(({ state, connection }) => state === "open" && !this.leased.includes(connection)).length;
  }

  get isAtWork(): boolean {
    return this.openings.length > 0 || this.lines.some(({ state }) => state === "quitting" || state === "half-closed");
  }
}

/** A step: what happens, to which door, and which one of what it has. */
type Step = readonly [kind: (typeof KINDS)[number], door: number, which: number];

const KINDS = [
  "acquire",
  "acquire",
  "opened",
  "opened",
  "refused",
  "release",
  "release",
  "replace",
  "die",
  "half-close",
  "end",
  "abort",
  "renew",
  "tick",
  "close",
  "reload",
] as const;

async function settled(): Promise<void> {
  for (let turn = 0; turn < 12; turn++) await Promise.resolve();
}

function pick<T>(among: readonly T[], which: number): T | undefined {
  return among.length === 0 ? undefined : among[which % among.length];
}

function act(doors: Door[], [kind, at, which]: Step, group: ConnectionGroup, clock: ManualClock): void {
  const door = doors[at % doors.length] as Door;
  switch (kind) {
    case "acquire":
      if (door.requests.length < 4) door.ask(async (signal) => await door.pool.acquire(signal));
      return;
    case "opened":
      return pick(door.openings, which)?.succeed(which < 6);
    case "refused":
      return pick(door.openings, which)?.fail(which % 3);
    case "release":
    case "replace": {
      const connection = pick(door.leased, which);
      if (connection === undefined) return;
      door.leased.splice(door.leased.indexOf(connection), 1);
      connection.transactions += 1;
      if (kind === "release") return door.pool.release(connection);
      connection.close();
      return door.ask(async (signal) => await door.pool.replace(connection, signal));
    }
    case "die":
      return pick(door.lines, which)?.end();
    case "half-close": {
      const line = pick(door.lines, which);
      if (line?.state === "open") line.state = "half-closed";
      return;
    }
    case "end":
      return pick(
        door.lines.filter(({ state }) => state === "quitting" || state === "half-closed"),
        which,
      )?.end();
    case "abort":
      return pick(door.requests, which)?.signal.abort();
    case "renew":
      return door.pool.renew();
    case "tick":
      return clock.advance(20_000);
    case "close":
    case "reload":
      if (door.closing !== undefined) return;
      door.closing = door.pool.close().then(() => void (door.isClosed = true));
      if (kind === "reload") doors.push(new Door(1 + (which % 3), group, clock));
      return;
  }
}

function sum(doors: readonly Door[]): number {
  return doors.reduce((total, { places }) => total + places, 0);
}

/** What must hold after each step. `before`: places taken before it. */
function judge(doors: readonly Door[], before: number): void {
  const most = Math.max(0, ...doors.filter(({ isClosed }) => !isClosed).map(({ size }) => size));
  for (const door of doors) {
    expect(door.places, "places of one door").toBeLessThanOrEqual(door.size);
    expect(new Set(door.leased).size, "a connection has one user").toBe(door.leased.length);
  }
  expect(sum(doors), "places of all doors").toBeLessThanOrEqual(Math.max(most, before));
  if (doors.some((door) => door.isAtWork)) return;
  const isFull = sum(doors) >= most;
  const isKept = doors.some(({ idle }) => idle > 0);
  const inVain = doors.filter(({ requests, places, size }) => requests.length > 0 && places < size && (!isFull || isKept));
  expect(inVain.length, "doors that wait for what is free, or only kept").toBe(0);
}

const steps = fc.array(fc.tuple(fc.constantFrom(...KINDS), fc.nat(7), fc.nat(7)), { maxLength: 60, size: "max" });

test("whatever becomes of their connections, doors that share them never have more than they may, nobody waits for what is free, and no place is lost", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }), steps, async (sizes, what) => {
      const group = new ConnectionGroup();
      const clock = new ManualClock();
      const doors = sizes.map((size) => new Door(size, group, clock));

      for (const step of what) {
        const before = sum(doors);
        act(doors, step, group, clock);
        await settled();
        judge(doors, before);
      }

      // The end of all of it: everybody gives back what they have.
      const closing = doors.map(async (door) => await (door.closing ?? door.pool.close()));
      for (const door of doors) for (const connection of door.leased.splice(0)) door.pool.release(connection);
      for (const door of doors) for (const line of door.lines) line.end();
      await Promise.all(closing);
      await settled();
      expect(doors.map(({ requests, places }) => requests.length + places)).toEqual(doors.map(() => 0));
      const next = new Door(3, group, clock);
      for (let count = 0; count < 4; count++) next.ask(async (signal) => await next.pool.acquire(signal));
      await settled();
      expect(next.openings).toHaveLength(3);
    }),
    { numRuns: 500 },
  );
});

test("a kept connection that its next hop has begun to end makes room for another door at once", async () => {
  const group = new ConnectionGroup();
  const clock = new ManualClock();
  const [one, two] = [1, 2].map(() => new Door(1, group, clock)) as [Door, Door];
  one.ask(async (signal) => await one.pool.acquire(signal));
  await settled();
  one.openings[0]?.succeed(true);
  await settled();
  one.pool.release(one.leased.pop() as SmtpConnection);
  (one.lines[0] as Line).state = "half-closed";

  two.ask(async (signal) => await two.pool.acquire(signal));
  await settled();

  expect(two.openings).toHaveLength(1);
});
