import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { ManualClock } from "./clock.ts";
import { releaseMemoryAtRest } from "./memory.ts";

const MIB = 1024 * 1024;
const FIRST_MS = 1_000;
const LOOK_MS = 15_000;
const REST_MS = 120_000;

/** A heap whose figures the test sets; released it has what it needs. */
function heapOf(sizeMib: number) {
  const heap = {
    busyPart: 0,
    sizeMib,
    neededMib: sizeMib,
    released: 0,
    busy: () => heap.busyPart,
    sizeBytes: () => heap.sizeMib * MIB,
    release: () => {
      heap.released++;
      heap.sizeMib = heap.neededMib;
    },
  };
  return heap;
}

test("what the start left behind is given back after a second of rest; where work came at once, at the first rest", () => {
  for (const [busyPart, afterMs] of [
    [0.01, FIRST_MS],
    [0.4, FIRST_MS + REST_MS],
  ] as const) {
    const clock = new ManualClock();
    const heap = heapOf(60);
    releaseMemoryAtRest(clock, undefined, heap);
    Object.assign(heap, { busyPart, neededMib: 40 });
    clock.advance(FIRST_MS - 1);
    const before = heap.released;
    clock.advance(1);
    heap.busyPart = 0.01;
    clock.advance(afterMs - FIRST_MS);

    expect(before).toBe(0);
    expect(heap).toMatchObject({ released: 1, sizeMib: 40 });
  }
});

test("memory that work left behind is given back at the first rest, not while work goes on", () => {
  const clock = new ManualClock();
  const heap = heapOf(100);
  releaseMemoryAtRest(clock, undefined, heap);
  clock.advance(FIRST_MS);

  Object.assign(heap, { released: 0, sizeMib: 300, busyPart: 0.4 });
  clock.advance(4 * LOOK_MS);
  const whileBusy = heap.released;
  heap.busyPart = 0.01;
  clock.advance(REST_MS - LOOK_MS);
  const tooSoon = heap.released;
  heap.busyPart = 0.4;
  clock.advance(LOOK_MS);
  heap.busyPart = 0.01;
  clock.advance(REST_MS);

  expect([whileBusy, tooSoon]).toEqual([0, 0]);
  expect(heap).toMatchObject({ released: 1, sizeMib: 100 });
});

test("what is needed now is not given back again and again, and a little more than that is left alone", () => {
  const clock = new ManualClock();
  const heap = heapOf(100);
  releaseMemoryAtRest(clock, undefined, heap);
  clock.advance(FIRST_MS);

  Object.assign(heap, { released: 0, sizeMib: 200, neededMib: 190 });
  clock.advance(2 * REST_MS);
  heap.sizeMib = 205;
  clock.advance(2 * REST_MS);

  expect(heap.released).toBe(1);
});

test("caches are emptied once at each rest after work, also where the heap did not grow", () => {
  const clock = new ManualClock();
  const heap = heapOf(100);
  let emptied = 0;
  releaseMemoryAtRest(clock, () => emptied++, heap);
  clock.advance(FIRST_MS);

  heap.busyPart = 0.4;
  clock.advance(LOOK_MS);
  heap.busyPart = 0.01;
  clock.advance(3 * REST_MS);
  const once = emptied;
  heap.busyPart = 0.4;
  clock.advance(LOOK_MS);
  heap.busyPart = 0.01;
  clock.advance(REST_MS);

  expect([once, emptied]).toEqual([1, 2]);
});

test("ended, it does nothing any more", () => {
  const clock = new ManualClock();
  const heap = heapOf(100);
  const end = releaseMemoryAtRest(clock, undefined, heap);

  end();
  heap.sizeMib = 500;
  clock.advance(REST_MS);

  expect({ released: heap.released, pending: clock.pending }).toEqual({ released: 0, pending: 0 });
});

test("threads may give memory back at the same moment", async () => {
  const module = new URL("./memory.ts", import.meta.url).href;
  const code = `import(${JSON.stringify(module)}).then(({ releaseMemory }) => { for (let i = 0; i < 40; i++) releaseMemory(); });`;
  const threads = [1, 2, 3, 4].map(() => new Worker(code, { eval: true }));

  // An error in one of them rejects.
  const ends = await Promise.all(threads.map((thread) => once(thread, "exit")));

  expect(ends).toEqual([[0], [0], [0], [0]]);
});
