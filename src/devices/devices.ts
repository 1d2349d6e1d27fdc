/** The devices of a running relay: who may come in beyond the listed networks, and who was seen. One object for all of it. */
import { isIP } from "node:net";
import { PosternError } from "../mail/errors.ts";
import type { Emit, PosternEvent } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import { Admissions, type Admission, type AdmittingClient, type AllowedDevice } from "./admissions.ts";
import type { Device, Verdict } from "./device.ts";
import { DnsNames, type LookUpName } from "./dns-names.ts";
import { HostBook, type LookUp } from "./host-book.ts";
import { Inventory } from "./inventory.ts";
import { DeviceStore } from "./store.ts";

export interface DevicesOptions {
  /** `data_dir`/receive. */
  readonly directory: string;
  readonly clients: readonly AdmittingClient[];
  readonly lookUp: LookUp;
  readonly lookUpName: LookUpName;
  readonly emit: Emit;
  readonly clock: Clock;
}

export class Devices {
  readonly #options: DevicesOptions;
  readonly #hosts: HostBook;
  readonly #admissions: Admissions;
  readonly #names: DnsNames;
  readonly #inventory: Inventory;
  readonly #store: DeviceStore;

  constructor(options: DevicesOptions) {
    const { clients, clock, emit } = options;
    this.#options = options;
    this.#hosts = new HostBook(options.lookUp, clock);
    this.#admissions = new Admissions(clients, this.#hosts, () => clock.now());
    this.#names = new DnsNames(options.lookUpName, (address, name) => this.#inventory.named(address, name), clock);
    this.#inventory = new Inventory(
      () => clock.now(),
      () => this.#store.changed(),
      (address) => this.#names.want(address),
      emit,
    );
    this.#store = new DeviceStore(
      options.directory,
      () => this.#inventory.list(),
      clock,
      (text) =>
        emit({
          type: "alert.raised",
          alert: "devices.file",
          subject: "devices",
          text,
          remedy: "Check space and rights of data_dir/receive",
        }),
    );
  }

  /** Reads what earlier processes knew, and begins to keep names fresh. */
  async start(): Promise<void> {
    const { allowed, seen } = await this.#store.load();
    this.#inventory.restore(seen);
    for (const device of allowed) this.#admissions.allow(device);
    this.#hosts.update(this.#options.clients.flatMap(({ hosts }) => hosts));
  }

  async stop(): Promise<void> {
    this.#hosts.stop();
    this.#names.stop();
    await this.#store.close();
  }

  /** A reload's clients. */
  update(clients: readonly AdmittingClient[]): void {
    this.#admissions.update(clients);
    this.#hosts.update(clients.flatMap(({ hosts }) => hosts));
  }

  /** Takes note of an event. Cheap, never throws for what a device sends. */
  observe(event: PosternEvent): void {
    this.#inventory.observe(event);
  }

  // ---- admission, as `receive` asks for it ----

  /** The client of an address that no network names; undefined: none. */
  admit(address: string, listener: string): Admission | undefined {
    return this.#admissions.any ? this.#admissions.find(address, listener) : undefined;
  }

  /** Looks names up again where that could let this address in; undefined where it could not. The caller bounds its patience. */
  lookAgain(address: string, listener: string): Promise<Admission | undefined> | undefined {
    if (!this.#hosts.worthAsking) return undefined;
    return this.#hosts.refresh().then(() => this.#admissions.find(address, listener));
  }

  // ---- what operators ask for ----

  list(): readonly Device[] {
    return this.#inventory.list();
  }

  get(address: string): Device | undefined {
    return this.#inventory.get(address);
  }

  allowed(): readonly AllowedDevice[] {
    return this.#admissions.allowed();
  }

  counts(): Readonly<Record<Verdict, number>> {
    return this.#inventory.counts();
  }

  /**
   * Lets a device in for good, as one of a client's. Durable when it resolves.
   *
   * @throws PosternError E_USAGE for what is no address or no client
   */
  async allow(given: string, client: string, by: string): Promise<AllowedDevice> {
    const address = given.toLowerCase();
    if (isIP(address) === 0 || address.includes("%"))
      throw new PosternError("E_USAGE", `${JSON.stringify(given.slice(0, 60))} is not an IP address`);
    if (!this.#admissions.isClient(client))
      throw new PosternError("E_USAGE", `there is no client ${JSON.stringify(client.slice(0, 80))} in the configuration`);
    const device: AllowedDevice = { address, client, since: this.#options.clock.now(), by };
    await this.#store.writeAllowed([...this.#admissions.allowed().filter((other) => other.address !== address), device]);
    this.#admissions.allow(device);
    this.#inventory.decided(address, "allowed", client);
    this.#options.emit({ type: "device.allowed", device: address, client, operator: by });
    return device;
  }

  /** Drops all that is known of a device, an operator's word included. Durable when it resolves. @returns false when nothing was known */
  async forget(given: string, by: string): Promise<boolean> {
    const address = given.toLowerCase();
    const allowed = this.#admissions.allowed();
    const rest = allowed.filter((other) => other.address !== address);
    if (rest.length < allowed.length) {
      await this.#store.writeAllowed(rest);
      this.#admissions.disallow(address);
    }
    const known = this.#inventory.forget(address);
    if (!known && rest.length === allowed.length) return false;
    this.#options.emit({ type: "device.forgotten", device: address, operator: by });
    return true;
  }
}
