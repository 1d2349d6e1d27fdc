/** The users of the configuration, as the receiving stage asks for them. */
import { createHmac, randomBytes } from "node:crypto";
import { decoyHash, verifyPassword } from "../config/password.ts";
import type { Clock } from "../platform/clock.ts";
import type { Authenticator } from "../receive/receiver.ts";

/** An application that opens a session for each mail would pay 0.1 s of a processor each time. */
const REMEMBER_MS = 10 * 60_000;
const MOST_REMEMBERED = 1_000;

export class Users implements Authenticator {
  readonly #clock: Clock;
  /** Of this process only: what is remembered is worth nothing elsewhere. */
  readonly #key = randomBytes(32);
  /** When a pair was found right, by its digest. */
  readonly #right = new Map<string, number>();
  #hashes = new Map<string, string>();
  #decoy = decoyHash("");

  /** @param users - by name, with hashes that `verifyPassword` takes */
  constructor(users: Readonly<Record<string, { readonly password_hash: string }>>, clock: Clock) {
    this.#clock = clock;
    this.update(users);
  }

  /** The users from now on; what was remembered of others is forgotten. */
  update(users: Readonly<Record<string, { readonly password_hash: string }>>): void {
    this.#hashes = new Map(Object.entries(users).map(([name, { password_hash }]) => [name, password_hash]));
    const [first] = this.#hashes.values();
    this.#decoy = decoyHash(first ?? "");
    this.#right.clear();
  }

  isUser(name: string): boolean {
    return this.#hashes.has(name);
  }

  remembers(user: string, password: string): boolean {
    if (this.#right.size === 0) return false;
    const since = this.#right.get(this.#digest(user, password));
    return since !== undefined && this.#clock.monotonic() - since < REMEMBER_MS;
  }

  async check(user: string, password: string): Promise<boolean> {
    const hash = this.#hashes.get(user);
    // Somebody who guesses names learns nothing from the time that the answer takes.
    const right = await verifyPassword(password, hash ?? this.#decoy);
    // A reload may have changed the password meanwhile.
    if (!right || hash === undefined || this.#hashes.get(user) !== hash) return false;
    const digest = this.#digest(user, password);
    this.#right.delete(digest);
    this.#right.set(digest, this.#clock.monotonic());
    for (const oldest of this.#right.keys()) {
      if (this.#right.size <= MOST_REMEMBERED) break;
      this.#right.delete(oldest);
    }
    return true;
  }

  #digest(user: string, password: string): string {
    return createHmac("sha256", this.#key).update(`${user}\0${password}`).digest("base64");
  }
}
