/** Mail to many at a door that says how many it takes only after the content. */
import { expect, test } from "vitest";
import { FakeUpstream, facts, refused, type Answer } from "../../test/fakes/fake-upstream.ts";
import { MemoryQueue } from "../../test/fakes/memory-queue.ts";
import { oneDoor } from "../../test/fakes/one-door.ts";
import { ManualClock } from "../platform/clock.ts";
import { DEFAULT_RETRY } from "./retry.ts";
import { createDeliverer } from "./scheduler.ts";

const many = (count: number): string[] => Array.from({ length: count }, (_, at) => `r${at}@contoso.com`);

/** A door that refuses a message to more than `most`, whole, with these words. */
function takes(most: number, words: string, stage: "data" | "final" = "final"): Answer {
  return (delivery) => facts(delivery, delivery.recipients.length > most ? { refusal: refused(stage, words) } : {});
}

async function relay(answer: Answer) {
  const clock = new ManualClock();
  const upstream = new FakeUpstream({ limits: { connections: 1, recipientsPerMessage: 450 } });
  upstream.answer = answer;
  const queue = new MemoryQueue(clock, () => upstream.name);
  const deliverer = createDeliverer({
    queue,
    upstreams: new Map([[upstream.name, upstream]]),
    ...oneDoor(upstream.name),
    retry: DEFAULT_RETRY,
    hostname: "relay.contoso.com",
    domains: ["contoso.com"],
    postmaster: "it@contoso.com",
    fallbackSenders: [],
    bounces: { to: "both" },
    timeZone: "UTC",
    emit: () => undefined,
    clock,
    random: () => 0.5,
  });
  await deliverer.start();
  const accept = async (recipients: readonly string[]): Promise<void> => {
    await queue.accept({ recipients });
    for (let i = 0; i < 400; i += 1) await new Promise<void>((resolve) => setImmediate(resolve));
  };
  return { queue, upstream, clock, accept, sizes: () => upstream.deliveries.map(({ recipients }) => recipients.length) };
}

test.each([
  ["452 4.5.3 Too many recipients", "final"],
  ["554 5.5.3 Recipient limit exceeded", "final"],
  ["552 Too many recipients", "data"],
] as const)("%s at %s: the message goes at once in parts, and each recipient gets it once", async (words, stage) => {
  const { queue, upstream, accept, sizes } = await relay(takes(120, words, stage));

  await accept(many(450));

  // The second half had been claimed before the first was refused.
  expect(sizes()).toEqual([450, 225, 225, 112, 112, 112, 112, 2]);
  const delivered = upstream.deliveries.filter(({ recipients }) => recipients.length <= 120).flatMap(({ recipients }) => recipients);
  expect(delivered.toSorted()).toEqual(many(450).toSorted());
  expect(queue.states().every((state) => state === "delivered")).toBe(true);
});

test("the next message is cut so from the start, and an hour later the whole is tried again", async () => {
  const { upstream, clock, accept, sizes } = await relay(takes(120, "554 5.5.3 Too many recipients"));
  await accept(many(200));
  upstream.deliveries.length = 0;

  await accept(many(200));
  const cut = sizes();
  clock.advance(3_600_000);
  upstream.deliveries.length = 0;
  upstream.answer = takes(450, "");
  await accept(many(200));

  expect([cut, sizes()]).toEqual([[100, 100], [200]]);
});

test("a single recipient that is too many for it is no matter of size: a 4xx is tried again as usual, a 5xx bounces", async () => {
  const later = await relay(takes(0, "452 4.5.3 Too many recipients"));
  await later.accept(many(2));
  const never = await relay(takes(0, "554 5.5.3 Too many recipients"));
  await never.accept(many(2));

  expect([later.sizes(), later.queue.states()]).toEqual([
    [2, 1, 1],
    ["deferred", "deferred"],
  ]);
  expect(never.sizes().slice(0, 3)).toEqual([2, 1, 1]);
  expect(never.queue.states().slice(0, 2)).toEqual(["bounced", "bounced"]);
});
