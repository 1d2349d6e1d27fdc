/**
 * A set for objects that come and go with each message or connection.
 *
 * A `Set` or `Map` that changes all the time gets a new table every few dozen changes, and an old table points to the next one, for iterators under
 * way. Once the garbage collector has moved one to old space, all later ones stay alive with everything that was in them, until a full collection:
 * sessions and deliveries that ended long ago. Here each member knows its slot in one array.
 */

/** An object that can be in one `Members` at a time. */
export interface Member {
  /** Kept by the `Members` it is in; -1 elsewhere. */
  slot: number;
}

/** Those that are here, without order. Adding, looking up and deleting cost the same however many there are. */
export class Members<T extends Member> implements Iterable<T> {
  readonly #all: T[] = [];

  get size(): number {
    return this.#all.length;
  }

  has(member: T): boolean {
    return this.#all[member.slot] === member;
  }

  add(member: T): void {
    if (!this.has(member)) member.slot = this.#all.push(member) - 1;
  }

  /** False when it was not here. */
  delete(member: T): boolean {
    if (!this.has(member)) return false;
    const last = this.#all.pop();
    if (last !== undefined && last !== member) {
      this.#all[member.slot] = last;
      last.slot = member.slot;
    }
    member.slot = -1;
    return true;
  }

  /** Looks at one after the other. */
  find(fits: (member: T) => boolean): T | undefined {
    return this.#all.find(fits);
  }

  clear(): void {
    for (const member of this.#all) member.slot = -1;
    this.#all.length = 0;
  }

  /** Those that are here now, in no particular order; they may leave while they are visited. */
  [Symbol.iterator](): ArrayIterator<T> {
    return this.#all.slice().values();
  }
}
