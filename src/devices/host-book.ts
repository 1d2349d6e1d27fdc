/**
 * Addresses of the names under `clients.X.hosts`, for devices whose address DHCP gives.
 *
 * A name is what the administrator listed, and only the forward look-up of that name counts: whoever controls the reverse zone of an address
 * proves nothing by it. Looked up in the background; an unknown address makes it look again at once, so that a device with a new lease
 * gets in with its first connection.
 */
import type { Clock } from "../platform/clock.ts";
import type { HostAddresses } from "./admissions.ts";

/** A and AAAA addresses of a name; empty when it has none. Rejects when nobody could be asked. */
export type LookUp = (name: string) => Promise<readonly string[]>;

const REFRESH_MS = 60_000;
/** An unknown address does not make us ask more often. */
const LEAST_MS = 5_000;
/** A server that cannot be asked for a while takes nobody's place away. */
const KEEP_MS = 24 * 3_600_000;
const AT_ONCE = 8;

interface Known {
  readonly addresses: readonly string[];
  readonly answeredAt: number;
}

export class HostBook implements HostAddresses {
  readonly #lookUp: LookUp;
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();
  #names: readonly string[] = [];
  #byAddress = new Map<string, string[]>();
  #refreshing: Promise<void> | undefined;
  #refreshedAt = -Infinity;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(lookUp: LookUp, clock: Clock) {
    this.#lookUp = lookUp;
    this.#clock = clock;
  }

  /** The names to keep fresh from now on. */
  update(names: readonly string[]): void {
    this.#names = [...new Set(names)];
    for (const name of this.#known.keys()) if (!this.#names.includes(name)) this.#known.delete(name);
    this.#index();
    this.#cancel?.();
    if (this.#names.length > 0) void this.refresh(true);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  namesOf(address: string): readonly string[] {
    return this.#byAddress.get(address) ?? [];
  }

  /** True when looking again could let an unknown address in. */
  get worthAsking(): boolean {
    return this.#names.length > 0;
  }

  /** Looks all names up again, unless that was done a moment ago. Never rejects. */
  async refresh(force = false): Promise<void> {
    if (this.#refreshing !== undefined) return await this.#refreshing;
    if (this.#stopped || (!force && this.#clock.monotonic() - this.#refreshedAt < LEAST_MS)) return;
    this.#refreshedAt = this.#clock.monotonic();
    this.#refreshing = this.#refreshAll();
    try {
      await this.#refreshing;
    } finally {
      this.#refreshing = undefined;
    }
    this.#cancel?.();
    if (!this.#stopped && this.#names.length > 0) this.#cancel = this.#clock.after(REFRESH_MS, () => void this.refresh(true));
  }

  async #refreshAll(): Promise<void> {
    const names = [...this.#names];
    const work = async (): Promise<void> => {
      for (let name = names.shift(); name !== undefined; name = names.shift()) await this.#refreshOne(name);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    this.#index();
  }

  async #refreshOne(name: string): Promise<void> {
    try {
      const addresses = await this.#lookUp(name);
      this.#known.set(name, { addresses, answeredAt: this.#clock.monotonic() });
    } catch {
      const known = this.#known.get(name);
      if (known !== undefined && this.#clock.monotonic() - known.answeredAt > KEEP_MS) this.#known.delete(name);
    }
  }

  #index(): void {
    this.#byAddress = new Map();
    for (const [name, { addresses }] of this.#known) {
      for (const address of addresses) this.#byAddress.set(address, [...this.namesOf(address), name]);
    }
  }
}
