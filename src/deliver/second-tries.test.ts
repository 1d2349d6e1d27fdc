import { describe, expect, test } from "vitest";
import { FakeUpstream, facts, refused, type Answer } from "../../test/fakes/fake-upstream.ts";
import { MemoryQueue } from "../../test/fakes/memory-queue.ts";
import { oneDoor } from "../../test/fakes/one-door.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import type { SenderPolicy } from "../upstream/upstream.ts";
import { DEFAULT_RETRY } from "./retry.ts";
import { createDeliverer } from "./scheduler.ts";

const SCANNER = "scanner@contoso.com";
const PRINTER = "printer@contoso.com";
const DENIED = refused("final", "554 5.2.252 SendAsDenied; scanner@contoso.com not allowed to send as printer@contoso.com");

/** Refuses every sender but one. */
function onlyFrom(sender: string): Answer {
  return (delivery) => facts(delivery, delivery.reversePath === sender ? {} : { refusal: DENIED });
}

async function relay(answer: Answer, sender: Partial<SenderPolicy> = {}, type: "smtp-auth" | "smart-host" = "smtp-auth") {
  const clock = new ManualClock();
  const events: PosternEvent[] = [];
  const upstream = new FakeUpstream({
    type,
    mailbox: SCANNER,
    traits: { sender: { mode: "keep", address: SCANNER, sendAs: [], ...sender } },
  });
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
    emit: (event) => events.push(event),
    clock,
    random: () => 0.5,
  });
  await deliverer.start();
  /** Lets what was begun come to rest; nothing here waits for time. */
  const rest = async (): Promise<void> => {
    for (let i = 0; i < 120; i += 1) await new Promise<void>((resolve) => setImmediate(resolve));
    clock.advance(0);
  };
  const accept = async (envelope: Parameters<MemoryQueue["accept"]>[0] = {}): Promise<void> => {
    await queue.accept({ headerFrom: PRINTER, ...envelope }, `From: ${PRINTER}\r\nSubject: scan\r\n\r\nbody\r\n`);
    await rest();
    await rest();
  };
  return { upstream, queue, events, clock, rest, accept };
}

test("a message refused for its sender goes once more, rewritten, and the history shows both tries", async () => {
  const { upstream, queue, events, accept } = await relay(onlyFrom(SCANNER));

  await accept();

  expect(queue.states()).toEqual(["delivered"]);
  expect(upstream.deliveries.map(({ reversePath }) => reversePath)).toEqual([PRINTER, SCANNER]);
  expect(Buffer.from(upstream.deliveries[1]?.content.inMemory ?? []).toString()).toContain(`<${SCANNER}>\r\n`);
  expect(queue.attempts).toMatchObject([
    { outcome: "deferred", reply: { code: 554, enhanced: "5.2.252" } },
    {
      outcome: "delivered",
      note: "From: printer@contoso.com rewritten to scanner@contoso.com; reverse-path printer@contoso.com replaced by scanner@contoso.com",
    },
  ]);
  expect(events.find(({ type }) => type === "recipient.deferred")).toMatchObject({
    cause: expect.stringContaining("goes once more, rewritten to scanner@contoso.com"),
  });
  expect(events.filter(({ type }) => type === "recipient.held")).toEqual([]);
});

test("refused rewritten as well it is held by its sender, and is not tried a third time", async () => {
  const { upstream, queue, accept } = await relay(onlyFrom("nobody@contoso.com"));

  await accept();

  expect(queue.states()).toEqual(["held"]);
  expect(upstream.deliveries.map(({ reversePath }) => reversePath)).toEqual([PRINTER, SCANNER]);
});

test("a second try that is put off is made later, still rewritten", async () => {
  const { upstream, queue, clock, rest, accept } = await relay((delivery) =>
    facts(delivery, { refusal: delivery.reversePath === SCANNER ? refused("final", "451 4.7.0 later") : DENIED }),
  );
  await accept();
  expect(queue.states()).toEqual(["deferred"]);

  upstream.answer = onlyFrom(SCANNER);
  clock.advance(3_600_000);
  await rest();

  expect(queue.states()).toEqual(["delivered"]);
  expect(upstream.deliveries.at(-1)?.reversePath).toBe(SCANNER);
});

test.each([
  ["the mailbox itself was refused", { reversePath: SCANNER, headerFrom: SCANNER }, {}, "smtp-auth"],
  ["a signature forbids it", { signed: true }, {}, "smtp-auth"],
  ["it was rewritten already", {}, { mode: "rewrite" }, "smtp-auth"],
] as const)("where %s the mail is held at once", async (_, envelope, sender, type) => {
  const { upstream, queue, accept } = await relay(onlyFrom("nobody@contoso.com"), sender, type);

  await accept(envelope);

  expect(queue.states()).toEqual(["held"]);
  expect(upstream.deliveries).toHaveLength(1);
});

test("recipients that were taken are not sent to again", async () => {
  const { upstream, queue, accept } = await relay((delivery) => {
    const part = delivery.recipients.map((address) =>
      address.startsWith("ben") && delivery.reversePath === PRINTER
        ? { address, refusal: { ...DENIED, stage: "rcpt" as const } }
        : { address },
    );
    return facts(delivery, { recipients: part });
  });

  await accept({ recipients: ["anna@contoso.com", "ben@contoso.com"] });

  expect(queue.states()).toEqual(["delivered", "delivered"]);
  expect(upstream.deliveries.map(({ recipients }) => recipients)).toEqual([["anna@contoso.com", "ben@contoso.com"], ["ben@contoso.com"]]);
});

test("a signed message is held with the first refusal: rewriting it would break the signature", async () => {
  const { upstream, queue, accept } = await relay(onlyFrom(SCANNER));

  await accept({ signed: true });

  expect(upstream.deliveries.map(({ reversePath }) => reversePath)).toEqual([PRINTER]);
  expect(queue.recipients()).toMatchObject([{ state: "held", heldBy: "sender", attempts: 1 }]);
});

describe("a refusal of the door's own address is told as that, not as the device's missing right", () => {
  const heldWith = (events: readonly PosternEvent[]) =>
    events.flatMap((event) => (event.type === "recipient.held" ? [`${event.cause}: ${event.remedy}`] : []));
  const OWN = "the upstream may not even send as its own address: Get-Recipient";

  test.each([
    ["of the second try", {}, {}, SCANNER],
    ["of a message from the mailbox itself", { reversePath: SCANNER, headerFrom: SCANNER }, {}, SCANNER],
    ["of an address that everything is rewritten to", {}, { mode: "rewrite", address: "scans@contoso.com" }, "scans@contoso.com"],
  ] as const)("%s", async (_, envelope, sender, own) => {
    const { events, accept } = await relay(onlyFrom("nobody@contoso.com"), sender);

    await accept(envelope);

    expect(heldWith(events)).toEqual([expect.stringContaining(`${OWN} ${own} `)]);
    expect(heldWith(events)[0]).toContain(`Add-RecipientPermission -Identity ${own} -Trustee OBJECT-ID`);
  });

  test("and closes the door once three senders met it", async () => {
    const { queue, events, accept } = await relay(onlyFrom("nobody@contoso.com"), { mode: "rewrite" });

    for (const name of ["one", "two", "three"]) await accept({ reversePath: `${name}@contoso.com` });

    expect(events.filter(({ type }) => type === "upstream.held")).toHaveLength(1);
    expect(queue.recipients().map(({ heldBy }) => heldBy)).toEqual(["sender", "sender", "upstream"]);
  });

  test("a device's sender that may not be used is still its own matter", async () => {
    const { events, accept } = await relay(onlyFrom(SCANNER));

    await accept({ signed: true });

    expect(heldWith(events)).toEqual([expect.stringContaining(`Add-RecipientPermission -Identity ${PRINTER} -Trustee ${SCANNER}`)]);
  });
});
