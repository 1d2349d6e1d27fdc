import { expect, test } from "vitest";
import { BlockPool, type Block } from "./pool.ts";

test("memory is made when needed and never beyond the limit", () => {
  const slabs: number[] = [];
  const pool = new BlockPool(20 * 262_144, (index) => slabs.push(index));

  const empty = pool.bytes;
  const taken = Array.from({ length: 25 }, () => pool.acquire());

  expect(empty).toBe(0);
  expect(taken.filter((block) => block !== undefined)).toHaveLength(20);
  expect(new Set(taken.slice(0, 20).map((block) => `${block?.slab} ${block?.offset}`)).size).toBe(20);
  expect(pool.bytes).toBe(20 * 262_144);
  expect(slabs).toEqual([0, 1]);
});

test("a block that comes back goes to whoever has waited longest", () => {
  const pool = new BlockPool(262_144, () => undefined);
  const block = pool.acquire() as Block;
  const got: string[] = [];
  const giveUp = pool.wait(() => got.push("gave up"));
  pool.wait(() => got.push("first"));
  pool.wait(() => got.push("second"));

  giveUp();
  pool.release(block);
  pool.release(block);
  pool.release(block);

  expect(got).toEqual(["first", "second"]);
  expect(pool.acquire()).toBe(block);
});

test("a row that was stored can be had from memory until its block is needed, or its message has left", () => {
  const pool = new BlockPool(2 * 262_144, () => undefined);
  const [one, two] = [pool.acquire() as Block, pool.acquire() as Block];
  one.bytes.fill(1);
  two.bytes.fill(2);
  pool.release(one, { message: 7, place: 0, length: 3 });
  pool.release(two, { message: 8, place: 5, length: 2 });

  expect(pool.recall(7, 0)).toEqual(new Uint8Array([1, 1, 1]));
  expect(pool.recall(8, 5)).toEqual(new Uint8Array([2, 2]));
  expect(pool.recall(8, 0)).toBeUndefined();
  expect(pool.acquire()).toBe(one);
  expect(pool.recall(7, 0)).toBeUndefined();
  pool.forget(8, 6);
  expect(pool.recall(8, 5)).toBeUndefined();
  expect(pool.acquire()).toBe(two);
});

test("whoever waits for a block gets it before it is kept for its row", () => {
  const pool = new BlockPool(262_144, () => undefined);
  const block = pool.acquire() as Block;
  let got: Block | undefined;
  pool.wait((handed) => (got = handed));

  pool.release(block, { message: 1, place: 0, length: 10 });

  expect(got).toBe(block);
  expect(pool.recall(1, 0)).toBeUndefined();
});
