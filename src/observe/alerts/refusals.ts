/** Counts connections of strangers over the last hour, in slots of five minutes, bounded however many there are. */

const SLOT_MS = 300_000;
const SLOTS = 12;
/** Addresses that are told apart in one slot. */
const MOST_ADDRESSES = 50;

interface Slot {
  readonly number: number;
  connections: number;
  readonly addresses: Set<string>;
}

export class RefusalCount {
  readonly #slots: Slot[] = [];

  /** @param at - ms of a clock that never goes back */
  note(address: string, at: number): void {
    const number = Math.floor(at / SLOT_MS);
    let slot = this.#slots.at(-1);
    if (slot?.number !== number) {
      slot = { number, connections: 0, addresses: new Set() };
      this.#slots.push(slot);
      if (this.#slots.length > SLOTS) this.#slots.shift();
    }
    slot.connections += 1;
    if (slot.addresses.size < MOST_ADDRESSES) slot.addresses.add(address);
  }

  /** Of the last hour. */
  lastHour(at: number): { connections: number; addresses: string[] } {
    const first = Math.floor(at / SLOT_MS) - SLOTS + 1;
    const slots = this.#slots.filter(({ number }) => number >= first);
    return {
      connections: slots.reduce((sum, { connections }) => sum + connections, 0),
      addresses: [...new Set(slots.flatMap(({ addresses }) => Array.from(addresses)))],
    };
  }
}
