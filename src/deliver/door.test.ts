import { expect, test } from "vitest";
import { Door } from "./door.ts";

test("the trouble of a door lasts from the first fault to the first success, whatever the fault", () => {
  const door = new Door();

  door.pause(1_000, "unreachable", "Check the firewall");
  door.resume();
  door.slow(10_000, 60_000, 900_000, "server busy");
  const lasting = door.trouble;
  door.works();
  const none = door.trouble;
  door.pause(90_000, "unreachable");

  expect(lasting).toEqual({ cause: "server busy", remedy: undefined, slow: true, since: 1_000, metAt: 10_000, resumeAt: 130_000 });
  expect(none).toBeUndefined();
  expect(door.trouble).toMatchObject({ slow: false, since: 90_000, metAt: 90_000 });
});

test("a door that asks for more time than there is patience is shut when that ends, and opens when it said", () => {
  const door = new Door();

  door.slow(0, 3_600_000, 900_000, "Graph slows the application down");
  const looksAt = door.looksAt;
  const tooSoon = door.losePatience(899_999);
  const wasShut = door.isShut;
  const lost = door.losePatience(900_000);

  expect({ looksAt, tooSoon, wasShut, lost }).toEqual({ looksAt: 900_000, tooSoon: false, wasShut: false, lost: true });
  expect(door.isShut).toBe(true);
  expect(door.looksAt).toBe(3_600_000);
  expect(door.losePatience(900_001)).toBe(false);
});
