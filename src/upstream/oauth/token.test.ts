import { expect, test } from "vitest";
import { ManualClock } from "../../platform/clock.ts";
import { faultAt } from "../smtp/fault.ts";
import type { Refusal } from "../upstream.ts";
import { TokenSource } from "./token.ts";
import type { AccessToken } from "./token.ts";

const MINUTE = 60_000;

function scene(): { source: TokenSource; clock: ManualClock; answers: (AccessToken | Refusal)[]; fetches: () => number } {
  const clock = new ManualClock();
  const answers: (AccessToken | Refusal)[] = [];
  let fetches = 0;
  const source = new TokenSource(async () => {
    fetches += 1;
    return answers.shift() ?? { value: `T${fetches}`, expiresAt: clock.now() + 75 * MINUTE };
  }, clock);
  return { source, clock, answers, fetches: () => fetches };
}

test("all who ask at the same time share one request", async () => {
  const { source, fetches } = scene();

  const tokens = await Promise.all(Array.from({ length: 5 }, async () => await source.get()));

  expect(new Set(tokens.map((token) => ("value" in token ? token.value : "")))).toEqual(new Set(["T1"]));
  expect(fetches()).toBe(1);
});

test("a token is renewed when under 15 minutes remain", async () => {
  const { source, clock } = scene();
  await source.get();

  clock.advance(60 * MINUTE);
  expect(await source.get()).toMatchObject({ value: "T1" });
  clock.advance(1);
  expect(await source.get()).toMatchObject({ value: "T2" });
});

test("while renewing fails, the old token serves as long as it is valid", async () => {
  const { source, clock, answers } = scene();
  await source.get();
  const down = faultAt("token", "ECONNREFUSED", "down");
  answers.push(down, down);

  clock.advance(70 * MINUTE);
  expect(await source.get()).toMatchObject({ value: "T1" });
  clock.advance(5 * MINUTE);
  expect(await source.get()).toBe(down);
  expect(await source.get()).toMatchObject({ value: "T4" });
});

test("a token that was refused is not given out again, a newer one stays", async () => {
  const { source, fetches } = scene();
  await source.get();

  source.drop("T1");
  expect(await source.get()).toMatchObject({ value: "T2" });
  source.drop("T1");
  expect(await source.get()).toMatchObject({ value: "T2" });
  expect(fetches()).toBe(2);
});
