/** What is done now and then: old history forgotten, content of failed mail dropped when its time is over or its room is needed. */
import type { Clock } from "../platform/clock.ts";
import type { DiskWatch } from "./disk.ts";
import type { WorkerLink } from "./link.ts";

const TIDY_EVERY_MS = 60_000;
const PRUNE_EVERY_MS = 60 * 60_000;
/** Content of failed mail gives way before new mail is refused: at this multiple of the floor of free space, and at this part of the queue's limit. */
const ROOM_FLOORS = 2;
const ROOM_PART = 0.9;
const MAKE_ROOM_EVERY_MS = 5_000;

/** What it goes by; a reload may change all but the clock and the disk. */
export interface HousekeepingLimits {
  readonly clock: Clock;
  readonly disk: Pick<DiskWatch, "freeBytes" | "floorBytes">;
  /** Most octets of content; undefined: not limited. */
  readonly maxBytes: number | undefined;
  readonly historyKeepMs: number;
  /** How long content of failed mail is kept; undefined: not at all. */
  readonly failedContentMs: number | undefined;
}

/** Asks the worker for it. */
export class Housekeeping {
  readonly #link: Pick<WorkerLink, "post" | "contentBytes">;
  /** The client's own, so that what a reload changes is seen here. */
  readonly #limits: HousekeepingLimits;
  #cancel: (() => void) | undefined;
  #prunedAt = -Infinity;
  #madeRoomAt = -Infinity;

  /** Begins at once. */
  constructor(link: Pick<WorkerLink, "post" | "contentBytes">, limits: HousekeepingLimits) {
    this.#link = link;
    this.#limits = limits;
    this.keepFailed();
    this.#tidyLater();
  }

  stop(): void {
    this.#cancel?.();
  }

  /** What failed is kept or not, as the limits say now; without keeping, what is left of earlier days goes. */
  keepFailed(): void {
    const keep = this.#limits.failedContentMs !== undefined;
    this.#link.post({ op: "keepFailed", keep }, undefined);
    if (!keep) this.#drop(false);
  }

  /** New mail comes before the content of mail that failed, which was told of. */
  makeRoom(): void {
    const now = this.#limits.clock.monotonic();
    if (now - this.#madeRoomAt < MAKE_ROOM_EVERY_MS) return;
    this.#madeRoomAt = now;
    this.#drop(true);
  }

  #drop(early: boolean): void {
    const now = this.#limits.clock.now();
    this.#link.post({ op: "tidy", now, endedBefore: undefined, failedBefore: Number.MAX_SAFE_INTEGER, early }, undefined);
  }

  get #isShortOfRoom(): boolean {
    const { disk, maxBytes = Infinity } = this.#limits;
    return disk.freeBytes < ROOM_FLOORS * disk.floorBytes || this.#link.contentBytes > ROOM_PART * maxBytes;
  }

  #tidyLater(): void {
    this.#cancel = this.#limits.clock.after(TIDY_EVERY_MS, () => {
      const { clock, historyKeepMs, failedContentMs } = this.#limits;
      const now = clock.now();
      const prune = clock.monotonic() - this.#prunedAt >= PRUNE_EVERY_MS;
      if (prune) this.#prunedAt = clock.monotonic();
      const endedBefore = prune ? now - historyKeepMs : undefined;
      const early = this.#isShortOfRoom;
      const failedBefore = early ? Number.MAX_SAFE_INTEGER : failedContentMs === undefined ? undefined : now - failedContentMs;
      this.#link.post({ op: "tidy", now, endedBefore, failedBefore, early }, undefined);
      this.#tidyLater();
    });
  }
}
