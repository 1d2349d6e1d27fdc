/** A way out that answers as a test says, and remembers what it was given. */
import { parseReply, type Reply } from "../../src/mail/reply.ts";
import { PLAIN_TRAITS } from "../../src/upstream/upstream.ts";
import type { AttemptFacts, Delivery, DoorTraits, Refusal, Stage, Upstream, UpstreamLimits } from "../../src/upstream/upstream.ts";

export type Answer = (delivery: Delivery, signal: AbortSignal) => AttemptFacts | Promise<AttemptFacts>;

/** A reply written as on the wire. */
export function reply(wire: string): Reply {
  const parsed = parseReply(wire);
  if (parsed === undefined) throw new Error(`not a reply: ${wire}`);
  return parsed;
}

/** A refusal by a reply written as on the wire. */
export function refused(stage: Stage, wire: string): Refusal {
  return { stage, reply: reply(wire) };
}

/** A refusal by a fault of our own words. */
export function fault(stage: Stage, code: string, detail = "as the test wants it"): Refusal {
  return { stage, fault: { code, detail } };
}

/** Facts of an attempt: taken, but for what `part` says. */
export function facts(delivery: Pick<Delivery, "recipients">, part: Partial<AttemptFacts> = {}): AttemptFacts {
  const accepted = part.refusal === undefined && part.ambiguous !== true ? reply("250 2.0.0 OK queued") : undefined;
  return {
    remote: "smtp.example.com:587 [192.0.2.1]",
    reusedConnection: false,
    connectMs: 5,
    transmitMs: 10,
    recipients: delivery.recipients.map((address) => ({ address })),
    ambiguous: false,
    ...(accepted === undefined ? {} : { accepted }),
    ...part,
  };
}

export class FakeUpstream implements Upstream {
  readonly name: string;
  readonly type: Upstream["type"];
  readonly limits: UpstreamLimits;
  readonly traits: DoorTraits;
  readonly mailbox: string | undefined;
  readonly credentialExpiresAt = undefined;
  readonly deliveries: Delivery[] = [];
  /** What the next attempts find; the last stays. */
  answer: Answer = (delivery) => facts(delivery);
  /** What a probe finds; undefined: all is well. */
  probeRefusal: Refusal | undefined;
  probes = 0;
  /** What is wrong with its certificate or password; undefined: nothing. */
  prepareRefusal: Refusal | undefined;
  /** Attempts under way now, and at most so far. */
  underWay = 0;
  mostUnderWay = 0;

  constructor(
    options: {
      name?: string;
      type?: Upstream["type"];
      mailbox?: string;
      limits?: Partial<UpstreamLimits>;
      traits?: Partial<DoorTraits>;
    } = {},
  ) {
    this.name = options.name ?? "scans";
    this.type = options.type ?? "smart-host";
    this.mailbox = options.mailbox;
    const nullSender = options.mailbox === undefined ? "any" : "mailbox";
    this.traits = { ...PLAIN_TRAITS, microsoft: this.type !== "smart-host", nullSender, ...options.traits };
    this.limits = {
      connections: 4,
      messagesPerMinute: undefined,
      recipientsPerMessage: 450,
      maxMessageSizeBytes: 34_603_008,
      ...options.limits,
    };
  }

  async attempt(delivery: Delivery, signal: AbortSignal): Promise<AttemptFacts> {
    this.deliveries.push(delivery);
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    try {
      return await this.answer(delivery, signal);
    } finally {
      this.underWay -= 1;
    }
  }

  probe(): Promise<Refusal | undefined> {
    this.probes += 1;
    return Promise.resolve(this.probeRefusal);
  }

  prepare(): Promise<Refusal | undefined> {
    return Promise.resolve(this.prepareRefusal);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
