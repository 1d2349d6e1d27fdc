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

test("a token of ten minutes is renewed at half its life, and not for each message", async () => {
  const { source, clock, answers, fetches } = scene();
  answers.push({ value: "SHORT", expiresAt: clock.now() + 10 * MINUTE });

  for (let minute = 0; minute <= 5; minute += 1) {
    expect(await source.get()).toMatchObject({ value: "SHORT" });
    if (minute < 5) clock.advance(MINUTE);
  }

  expect(fetches()).toBe(1);
  clock.advance(1);
  expect(await source.get()).toMatchObject({ value: "T2" });
});

test("while renewing fails, the service is asked once a minute and not for each message", async () => {
  const { source, clock, answers, fetches } = scene();
  await source.get();
  const down = faultAt("token", "TIMEOUT", "down");
  answers.push(down, down);

  clock.advance(61 * MINUTE);
  for (let i = 0; i < 10; i += 1) expect(await source.get()).toMatchObject({ value: "T1" });
  expect(fetches()).toBe(2);

  clock.advance(MINUTE + 1);
  await source.get();
  expect(fetches()).toBe(3);
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
