/**
 * Signing in, RFC 4954 with PLAIN (RFC 4616) and LOGIN: what credentials say, and how often one address may try.
 *
 * Checking a password is made to be slow, so the checks themselves must be bounded: few at a time, one of each address. After a wrong
 * password the next check from that address waits, twice as long each time.
 */
import type { Clock } from "../platform/clock.ts";

/** Knows users and their passwords. */
export interface Authenticator {
  isUser(name: string): boolean;
  /** True when this very pair was found right a moment ago: costs nothing to ask. */
  remembers(user: string, password: string): boolean;
  /** Whether the password is the user's. An unknown user takes as long as a wrong password. Rejects when it could not be found out. */
  check(user: string, password: string): Promise<boolean>;
}

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** Longest name or password looked at, in octets. */
const LONGEST_OCTETS = 1024;

/** The text of a base64 argument; undefined when it is none. `=` stands for the empty string (RFC 4954 §4). */
export function decodeBase64(text: string): string | undefined {
  const trimmed = text.trim();
  if (trimmed === "=" || trimmed === "") return "";
  if (trimmed.length > 4 * LONGEST_OCTETS || !/^[A-Za-z0-9+/]+={0,2}$/.test(trimmed)) return undefined;
  return Buffer.from(trimmed, "base64").toString("utf8");
}

/** Reads the message of PLAIN: `authzid NUL authcid NUL password`. Undefined when it is none, or asks to act as somebody else. */
export function readPlain(message: string): Credentials | undefined {
  const [actAs, user, password, more] = message.split("\0");
  if (actAs === undefined || user === undefined || password === undefined || more !== undefined) return undefined;
  if (actAs !== "" && actAs !== user) return undefined;
  return { user, password };
}

/** What came of an attempt: `busy` when too many wait for a check, or it failed for reasons of ours. */
export type AttemptResult = "right" | "wrong" | "busy";

/** Bounds of attempts. */
export interface SignInLimits {
  /** Checks under way; more wait. */
  readonly checksAtOnce: number;
  /** Attempts of one address that may wait. In all there is one in line of each address, so that none can keep the others out. */
  readonly waitingPerDevice: number;
  /** Wait after the first wrong password of an address; doubled with each, up to the longest. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** An address without a wrong password for so long starts anew. */
  readonly forgetMs: number;
  /** Addresses remembered; the oldest leave. */
  readonly devices: number;
}

export const SIGN_IN_LIMITS: SignInLimits = {
  checksAtOnce: 2,
  waitingPerDevice: 20,
  firstDelayMs: 1_000,
  longestDelayMs: 16_000,
  forgetMs: 15 * 60_000,
  devices: 10_000,
};

interface DeviceRecord {
  failures: number;
  /** Monotonic. */
  lastFailureAt: number;
  waiting: number;
  /** Resolves when the attempt before is over, its delay included. */
  turn: Promise<void>;
}

/** The attempts of all listeners. */
export class SignIns {
  readonly #authenticator: Authenticator;
  readonly #clock: Clock;
  readonly #limits: SignInLimits;
  /** In the order of last use. */
  readonly #devices = new Map<string, DeviceRecord>();
  #running = 0;
  readonly #line: (() => void)[] = [];

  constructor(authenticator: Authenticator, clock: Clock, limits: Partial<SignInLimits> = {}) {
    this.#authenticator = authenticator;
    this.#clock = clock;
    this.#limits = { ...SIGN_IN_LIMITS, ...limits };
  }

  isUser(name: string): boolean {
    return this.#authenticator.isUser(name);
  }

  /** Wrong passwords of an address that still count. */
  failures(device: string): number {
    const record = this.#devices.get(device);
    return record === undefined || this.#expired(record) ? 0 : record.failures;
  }

  /**
   * Checks credentials, when it is the address's turn. Never rejects.
   *
   * @param device - the address that attempts are counted by
   * @param mayCome - false: this user may not come from there; nobody learns from the answer that the password was right
   */
  async attempt(device: string, { user, password }: Credentials, mayCome: boolean): Promise<AttemptResult> {
    if (Buffer.byteLength(user) > LONGEST_OCTETS || Buffer.byteLength(password) > LONGEST_OCTETS) return "wrong";
    // An application that signs in for each mail is not held up by a neighbour behind the same address.
    if (mayCome && this.#authenticator.remembers(user, password)) return "right";
    const record = this.#recordOf(device);
    if (record.waiting >= this.#limits.waitingPerDevice) return "busy";
    record.waiting += 1;
    const before = record.turn;
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    record.turn = over;
    try {
      await before;
      const found = await this.#check(user, password);
      const result = found === "right" && !mayCome ? "wrong" : found;
      if (result === "wrong") await this.#punish(record);
      return result;
    } finally {
      record.waiting -= 1;
      end();
    }
  }

  async #check(user: string, password: string): Promise<AttemptResult> {
    if (this.#running >= this.#limits.checksAtOnce) await new Promise<void>((resolve) => this.#line.push(resolve));
    else this.#running += 1;
    try {
      return (await this.#authenticator.check(user, password)) ? "right" : "wrong";
    } catch {
      return "busy";
    } finally {
      // The place passes on to the next in line.
      const next = this.#line.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  async #punish(record: DeviceRecord): Promise<void> {
    record.failures += 1;
    record.lastFailureAt = this.#clock.monotonic();
    const delayMs = Math.min(this.#limits.longestDelayMs, this.#limits.firstDelayMs * 2 ** Math.min(20, record.failures - 1));
    await new Promise<void>((resolve) => this.#clock.after(delayMs, resolve));
  }

  #expired(record: DeviceRecord): boolean {
    return this.#clock.monotonic() - record.lastFailureAt > this.#limits.forgetMs;
  }

  #recordOf(device: string): DeviceRecord {
    const known = this.#devices.get(device);
    const record = known ?? { failures: 0, lastFailureAt: this.#clock.monotonic(), waiting: 0, turn: Promise.resolve() };
    if (known !== undefined && this.#expired(known)) known.failures = 0;
    this.#devices.delete(device);
    this.#devices.set(device, record);
    for (const [address, { waiting }] of this.#devices) {
      if (this.#devices.size <= this.#limits.devices) break;
      if (waiting === 0) this.#devices.delete(address);
    }
    return record;
  }
}
