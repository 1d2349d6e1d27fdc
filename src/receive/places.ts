/**
 * Places of all listeners together: sessions, and connections that wait for one of their device's. What one device takes is bounded, and where
 * the waiting room is full, the device that fills it gives way.
 */
import { Members } from "../platform/members.ts";
import type { Connection, ConnectionOwner } from "./connection.ts";
import type { Session } from "./session.ts";

/** A connection that waits for a place of its device. */
export interface Waiting {
  /** Lets it in. */
  readonly admit: () => void;
  /** Ends it: the relay stops. */
  readonly cancel: () => void;
  /** Ends it: there are too many of its device. */
  readonly refuse: () => void;
}

export class Places implements ConnectionOwner {
  readonly sessions = new Members<Session>();
  readonly #waiting = new Map<string, Waiting[]>();
  /** How many sessions count against each device. */
  readonly #byDevice = new Map<string, number>();
  #waitingCount = 0;
  #whenEmpty: (() => void) | undefined;

  /** Resolves when no session is left. */
  async empty(): Promise<void> {
    if (this.sessions.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#whenEmpty = resolve;
    await promise;
  }

  of(device: string): number {
    return this.#byDevice.get(device) ?? 0;
  }

  take(session: Session): void {
    this.sessions.add(session);
    session.holdsPlace = true;
    this.#byDevice.set(session.peer.group, this.of(session.peer.group) + 1);
  }

  finished(session: Connection): void {
    this.left(session);
    this.sessions.delete(session as Session);
    if (this.sessions.size === 0) this.#whenEmpty?.();
  }

  /** The next of its device may come. */
  left(session: Connection): void {
    if (!session.holdsPlace) return;
    session.holdsPlace = false;
    const { group } = session.peer;
    const left = this.of(group) - 1;
    if (left > 0) this.#byDevice.set(group, left);
    else this.#byDevice.delete(group);
    this.#waiting.get(group)?.[0]?.admit();
  }

  /**
   * Makes room for one more that waits.
   *
   * @param most - connections that may wait in all
   * @returns false when the device's own line is the longest: it does not get to wait
   */
  makeRoom(device: string, most: number): boolean {
    if (this.#waitingCount < most) return true;
    let longest = this.#waiting.get(device)?.length ?? 0;
    let last: Waiting | undefined;
    for (const line of this.#waiting.values()) {
      if (line.length <= longest) continue;
      longest = line.length;
      last = line.at(-1);
    }
    last?.refuse();
    return last !== undefined;
  }

  queue(device: string, entry: Waiting): void {
    this.#waitingCount += 1;
    const line = this.#waiting.get(device);
    if (line === undefined) this.#waiting.set(device, [entry]);
    else line.push(entry);
  }

  unqueue(device: string, entry: Waiting): void {
    const line = this.#waiting.get(device);
    const at = line?.indexOf(entry) ?? -1;
    if (line === undefined || at < 0) return;
    line.splice(at, 1);
    this.#waitingCount -= 1;
    if (line.length === 0) this.#waiting.delete(device);
  }

  /** Ends everything that waits. */
  cancelWaiting(): void {
    for (const entry of [...this.#waiting.values()].flat()) entry.cancel();
  }
}
