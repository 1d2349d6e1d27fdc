/**
 * Who is let in besides the networks of the configuration: devices that an operator added, devices met while a client learns, and names of
 * DHCP clients. An address that the networks know never comes here.
 */
import type { NetworkSet } from "./network-set.ts";

/** How a client lets addresses in that its networks do not name. */
export interface AdmittingClient {
  readonly name: string;
  /** Names of listeners it may use. */
  readonly listeners: readonly string[];
  /** Unknown addresses of `networks` are let in between these times (ms since the epoch). */
  readonly learn?: { readonly networks: NetworkSet; readonly from: number; readonly until: number } | undefined;
  /** Host names of its devices. */
  readonly hosts: readonly string[];
}

/** A device that an operator added. */
export interface AllowedDevice {
  readonly address: string;
  readonly client: string;
  readonly since: number;
  /** Who said so, as declared. */
  readonly by: string;
}

export type Admission = { readonly client: string; readonly how: "allowed" | "learned" | "named" };

/** Addresses of names, kept fresh by somebody else. */
export interface HostAddresses {
  /** The listed names that have this address now; one device may have several. */
  namesOf(address: string): readonly string[];
}

export class Admissions {
  readonly #allowed = new Map<string, AllowedDevice>();
  readonly #names: HostAddresses;
  readonly #now: () => number;
  #clients: readonly AdmittingClient[];

  constructor(clients: readonly AdmittingClient[], names: HostAddresses, now: () => number) {
    this.#clients = clients;
    this.#names = names;
    this.#now = now;
  }

  /** A reload's clients. Devices that an operator gave to a client that is gone stay listed, and are let in again when it is back. */
  update(clients: readonly AdmittingClient[]): void {
    this.#clients = clients;
  }

  /** True when some client may let in addresses that no network names: only then is there anything to ask. */
  get any(): boolean {
    return this.#allowed.size > 0 || this.#clients.some(({ learn, hosts }) => learn !== undefined || hosts.length > 0);
  }

  /** The client that lets this address in on this listener; an operator's word first, then names, then learning. */
  find(address: string, listener: string): Admission | undefined {
    const allowed = this.#allowed.get(address);
    if (allowed !== undefined && this.#on(listener).some(({ name }) => name === allowed.client))
      return { client: allowed.client, how: "allowed" };
    const names = this.#names.namesOf(address);
    const named = names.length === 0 ? undefined : this.#on(listener).find(({ hosts }) => names.some((name) => hosts.includes(name)));
    if (named !== undefined) return { client: named.name, how: "named" };
    const now = this.#now();
    const learning = this.#on(listener).find(
      ({ learn }) => learn !== undefined && learn.from <= now && now < learn.until && learn.networks.has(address),
    );
    return learning === undefined ? undefined : { client: learning.name, how: "learned" };
  }

  #on(listener: string): AdmittingClient[] {
    return this.#clients.filter(({ listeners }) => listeners.includes(listener));
  }

  isClient(name: string): boolean {
    return this.#clients.some((client) => client.name === name);
  }

  allow(device: AllowedDevice): void {
    this.#allowed.set(device.address, device);
  }

  /** @returns false when it was not there */
  disallow(address: string): boolean {
    return this.#allowed.delete(address);
  }

  /** What an operator added, in the order of adding. */
  allowed(): readonly AllowedDevice[] {
    return [...this.#allowed.values()];
  }
}
