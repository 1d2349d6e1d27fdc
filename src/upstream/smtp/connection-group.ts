/**
 * Connections that the next hop counts together: those of one mailbox, whichever door uses it, and whether before a reload or after it. One that is kept
 * for the next message counts there like one in use.
 */

/** The pool of one door. */
export interface GroupMember {
  /** Most connections of its own. */
  readonly size: number;
  /** Somebody waits for a place that only the group can give. */
  readonly isWaiting: boolean;
  /** Ends a connection that nobody uses; false when there is none. */
  endIdle(): boolean;
  /** Opens a connection for who waits; false when nobody does. */
  openNext(): boolean;
}

/** As many connections as the member with the most may have. */
export class ConnectionGroup {
  /** Who was given a place last comes last. */
  readonly #members: GroupMember[] = [];
  #taken = 0;

  join(member: GroupMember): void {
    this.#members.push(member);
    // It may have brought places.
    this.#giveOut();
  }

  leave(member: GroupMember): void {
    const at = this.#members.indexOf(member);
    if (at >= 0) this.#members.splice(at, 1);
  }

  /** Whether there was a place. Where there was none another member ends what it only keeps, and `openNext` follows. */
  take(member: GroupMember): boolean {
    if (this.#isFull) this.#members.some((other) => other !== member && other.endIdle());
    // What the next hop had begun to end itself is gone at once, and nobody is left to be told of its place later.
    if (this.#isFull) return false;
    this.#taken += 1;
    return true;
  }

  /** A connection is gone. */
  free(): void {
    this.#taken -= 1;
    this.#giveOut();
  }

  /** Whether others wait for what this member would only keep. */
  isWantedFrom(member: GroupMember): boolean {
    return this.#members.some((other) => other !== member && other.isWaiting);
  }

  get #isFull(): boolean {
    return this.#taken >= Math.max(...this.#members.map(({ size }) => size));
  }

  #giveOut(): void {
    while (!this.#isFull) {
      const next = this.#members.find((member) => member.openNext());
      if (next === undefined) return;
      this.leave(next);
      this.#members.push(next);
    }
  }
}

/** The groups of all doors, by what the next hop counts them by. */
export class ConnectionGroups {
  readonly #groups = new Map<string, ConnectionGroup>();

  of(key: string): ConnectionGroup {
    const group = this.#groups.get(key) ?? new ConnectionGroup();
    this.#groups.set(key, group);
    return group;
  }
}
