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
