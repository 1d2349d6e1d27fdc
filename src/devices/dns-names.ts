/** Names of devices in the DNS, looked up after the fact, a few at a time; nobody waits for them. */
import type { Clock } from "../platform/clock.ts";

/** The PTR name of an address; undefined when it has none. Rejects when nobody could be asked. */
export type LookUpName = (address: string) => Promise<string | undefined>;

const AT_ONCE = 2;
/** More than this are not worth it: a scan of the network is going on. */
const MOST_WAITING = 200;
const LONGEST_NAME = 255;

export class DnsNames {
  readonly #lookUp: LookUpName;
  readonly #found: (address: string, name: string | undefined) => void;
  readonly #clock: Clock;
  readonly #waiting = new Set<string>();
  #underWay = 0;
  #stopped = false;

  constructor(lookUp: LookUpName, found: (address: string, name: string | undefined) => void, clock: Clock) {
    this.#lookUp = lookUp;
    this.#found = found;
    this.#clock = clock;
  }

  /** Asks for a name some time soon. */
  want(address: string): void {
    if (this.#stopped || this.#waiting.size >= MOST_WAITING || isLocal(address)) return;
    this.#waiting.add(address);
    // After the session that brought it had its turn.
    if (this.#underWay < AT_ONCE) this.#clock.after(0, () => this.#next());
  }

  stop(): void {
    this.#stopped = true;
    this.#waiting.clear();
  }

  #next(): void {
    if (this.#stopped || this.#underWay >= AT_ONCE) return;
    const [address] = this.#waiting;
    if (address === undefined) return;
    this.#waiting.delete(address);
    this.#underWay += 1;
    void this.#ask(address);
  }

  async #ask(address: string): Promise<void> {
    try {
      const name = await this.#lookUp(address);
      this.#found(address, name === undefined ? undefined : printable(name));
    } catch {
      // Without a name server the inventory has no names: nothing depends on them.
    } finally {
      this.#underWay -= 1;
      this.#next();
    }
  }
}

function isLocal(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

/** A PTR record may hold anything. */
function printable(name: string): string {
  return name.slice(0, LONGEST_NAME).replace(/[^!-~]/g, "?");
}
