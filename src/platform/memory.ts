/** Gives memory back to the system. */
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock } from "./clock.ts";

/** Collects garbage once and returns the freed pages. */
export function releaseMemory(): void {
  // Never switched off again: flags are the process's, and another thread may be about to use this one.
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options: { type: "major"; execution: "sync"; flavor: "last-resort" }) => void;
  collect({ type: "major", execution: "sync", flavor: "last-resort" });
}

/** How long after the start is looked first. */
const FIRST_LOOK_MS = 1_000;
/** How often is looked from then on. */
const LOOK_EVERY_MS = 15_000;
/**
 * At rest is what was busy for less than this part of the time between two looks, so many times in a row. The collection throws away what the engine had
 * learned to do fast, too: a relay that gets a burst every minute would pay a third more CPU for each.
 */
const REST = 0.05;
const RESTING_LOOKS = 8;
/** Less than this is not worth a pause of some 50 ms. */
const MOST_GROWTH = 1.1;
const LEAST_GROWTH_BYTES = 4 * 1024 * 1024;

/** What is looked at and done; others for tests. */
export interface Heap {
  /** Part of the time since the last call in which the event loop had work, 0 to 1. */
  busy(): number;
  /** What the heap of this thread takes of memory, garbage included. */
  sizeBytes(): number;
  release(): void;
}

/**
 * For the end of a start. Gives memory back after a second of rest: loading the code filled a heap that is not needed any more, and V8 would keep it as long
 * as nothing presses. From then on gives it back after work, at rest: with much memory in the machine V8 lets hundreds of MB of garbage lie where
 * a heap of twenty was in use, and a process that does nothing does not collect at all. Each thread has a heap of its own.
 *
 * @param emptyCaches - called at each rest after work, also where the heap did not grow
 * @returns ends it
 */
export function releaseMemoryAtRest(clock: Clock, emptyCaches: () => void = () => undefined, heap: Heap = ownHeap()): () => void {
  let needed = 0;
  let cancel: () => void = () => undefined;
  let resting = 0;
  const look = (): void => {
    resting = heap.busy() < REST ? resting + 1 : 0;
    if (resting === RESTING_LOOKS) emptyCaches();
    const grown = heap.sizeBytes() > Math.max(needed * MOST_GROWTH, needed + LEAST_GROWTH_BYTES);
    if (resting >= RESTING_LOOKS && grown) {
      heap.release();
      needed = heap.sizeBytes();
    }
    cancel = clock.after(LOOK_EVERY_MS, look);
  };
  const afterStart = (): void => {
    // Where work came at once it is for the first rest to do, like all that work leaves.
    if (heap.busy() < REST) {
      heap.release();
      needed = heap.sizeBytes();
    }
    cancel = clock.after(LOOK_EVERY_MS, look);
  };
  heap.busy();
  cancel = clock.after(FIRST_LOOK_MS, afterStart);
  return () => cancel();
}

function ownHeap(): Heap {
  let last = performance.eventLoopUtilization();
  return {
    busy: () => {
      const now = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(now, last);
      last = now;
      return utilization;
    },
    sizeBytes: () => getHeapStatistics().total_heap_size,
    release: releaseMemory,
  };
}
