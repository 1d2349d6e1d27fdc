/** Plays dialogues against a real listener: whole, waiting for each answer, and cut in two anywhere. */
import { connect } from "node:net";
import type { Socket } from "node:net";
import type { PosternEvent } from "../../src/mail/events.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { createReceiver } from "../../src/receive/receiver.ts";
import type { ClientOptions, Receiver } from "../../src/receive/receiver.ts";
import { MemorySink } from "../fakes/memory-sink.ts";
import type { Dialogue, ExpectedEvent, ExpectedMessage, Step } from "./dialogue.ts";

/** A listener with the settings of one dialogue. */
export interface Stage {
  readonly port: number;
  readonly sink: MemorySink;
  readonly events: PosternEvent[];
  close(): Promise<void>;
}

export async function openStage({ settings }: Pick<Dialogue, "settings">): Promise<Stage> {
  const sink = new MemorySink();
  const events: PosternEvent[] = [];
  const client: ClientOptions = {
    name: "floor",
    networks: ["127.0.0.1"],
    senders: ["internal"],
    recipients: ["internal"],
    fallbackSender: "scans@contoso.com",
    maxMessageSizeBytes: 1_000_000,
    priority: "normal",
    quirks: settings.quirks,
    ...(settings.client as Partial<ClientOptions> | undefined),
  };
  const receiver: Receiver = createReceiver({
    hostname: "relay.contoso.com",
    domains: { own: ["contoso.com"], first: "contoso.com" },
    listeners: [{ name: "printers", endpoints: [{ host: "127.0.0.1", port: 0 }], tls: { mode: "none" } }],
    clients: [client, { ...client, name: "app", networks: ["127.0.0.9"], senders: ["any"], recipients: ["any"] }],
    timeZone: "UTC",
    limits: settings.limits,
    sink,
    clock: systemClock,
    emit: (event) => events.push(event),
  });
  await receiver.start();
  return { port: receiver.addresses()[0]?.port ?? 0, sink, events, close: () => receiver.stop(0) };
}

/** How the octets reach the relay: all at once, each piece when it is its turn, or in two pieces with the cut at an index of all octets. */
export type Manner = "at once" | "in turn" | { readonly cut: number; readonly waits: boolean };

/** @returns what went wrong; undefined when all is as it must be */
export async function play(dialogue: Dialogue, stage: Stage, manner: Manner): Promise<string | undefined> {
  stage.sink.messages.length = 0;
  stage.events.length = 0;
  const device = await Device.open(stage.port, dialogue.from);
  try {
    const waits = manner === "in turn" || (typeof manner === "object" && manner.waits);
    const cut = typeof manner === "object" ? manner.cut : -1;
    const said = waits ? await playInTurn(dialogue.steps, device, cut) : await playAtOnce(dialogue.steps, device, cut);
    if (said !== undefined) return said;
  } finally {
    device.drop();
  }
  await stageSettled(stage);
  return wrongMessages(dialogue.messages, stage) ?? dialogue.events.map((event) => wrongEvent(event, stage.events)).find(Boolean);
}

async function playInTurn(steps: readonly Step[], device: Device, cut: number): Promise<string | undefined> {
  let sent = 0;
  for (const step of steps) {
    if (step.kind === "send") {
      await device.write(step.octets, cut - sent);
      sent += step.octets.length;
    } else {
      const wrong = await device.take(step);
      if (wrong !== undefined) return wrong;
    }
  }
  return undefined;
}

async function playAtOnce(steps: readonly Step[], device: Device, cut: number): Promise<string | undefined> {
  const octets = Buffer.concat(steps.flatMap((step) => (step.kind === "send" ? [step.octets] : [])));
  await device.write(octets, cut);
  for (const step of steps) {
    if (step.kind === "send") continue;
    const wrong = await device.take(step);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

/** Until the session's end was accounted for. A session that was refused at the door has none. */
async function stageSettled({ events }: Stage): Promise<void> {
  const settled = (): boolean => {
    const opened = events.filter(({ type }) => type === "session.opened").length;
    if (opened === 0) return events.some(({ type }) => type === "session.rejected");
    return events.filter(({ type }) => type === "session.closed").length === opened;
  };
  while (!settled()) await new Promise((resolve) => setImmediate(resolve));
}

function wrongMessages(expected: readonly ExpectedMessage[] | undefined, { sink, events }: Stage): string | undefined {
  if (expected === undefined) return undefined;
  if (sink.messages.length !== expected.length) return `${sink.messages.length} messages arrived, not ${expected.length}`;
  for (const [at, { from, to, repairs, content }] of expected.entries()) {
    const stored = sink.messages[at];
    if (stored === undefined) return "a message is missing";
    const { message } = stored;
    if (from !== undefined && message.reversePath !== (from === "<>" ? "" : from)) return `reverse-path ${message.reversePath}`;
    if (to !== undefined && message.recipients.join() !== to.join()) return `recipients ${message.recipients.join()}`;
    if (repairs !== undefined && message.repairs.join() !== repairs.join()) return `repairs ${message.repairs.join()}`;
    if (!events.some((event) => event.type === "message.accepted" && event.queueId === message.queueId)) return "not told of as accepted";
    const text = stored.content.toString("latin1");
    for (const { pattern, wanted } of content)
      if (pattern.test(text) !== wanted) return `content ${wanted ? "does not match" : "matches"} ${pattern}: ${JSON.stringify(text)}`;
  }
  return undefined;
}

function wrongEvent({ type, values, wanted }: ExpectedEvent, events: readonly PosternEvent[]): string | undefined {
  const found = events.some((event) => {
    const fields = event as unknown as Record<string, unknown>;
    return event.type === type && Object.entries(values).every(([key, value]) => String(fields[key]).includes(value));
  });
  if (found === wanted) return undefined;
  return `${wanted ? "no" : "an"} event ${type} ${JSON.stringify(values)} among ${JSON.stringify(events)}`;
}

/** Longest wait for a reply: a relay that says nothing is a failure with a reason instead of a test that hangs. */
const PATIENCE_MS = 10_000;

class Device {
  readonly #socket: Socket;
  #heard = "";
  #closed = false;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    const ended = (): void => {
      this.#closed = true;
      this.#wake();
    };
    socket.on("data", (chunk: Buffer) => {
      this.#heard += chunk.toString("latin1");
      this.#wake();
    });
    socket.on("end", ended).on("close", ended).on("error", ended);
  }

  static async open(port: number, from: string): Promise<Device> {
    const socket = connect({ host: "127.0.0.1", port, localAddress: from, allowHalfOpen: true, noDelay: true });
    const device = new Device(socket);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return device;
  }

  /** Sends octets, in two pieces when `cut` lies among them: the second leaves when the relay has had its turn with the first. */
  async write(octets: Buffer, cut: number): Promise<void> {
    if (cut <= 0 || cut >= octets.length) {
      this.#socket.write(octets);
      return;
    }
    await new Promise((resolve) => this.#socket.write(octets.subarray(0, cut), resolve));
    for (let turns = 0; turns < 3; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    this.#socket.write(octets.subarray(cut));
  }

  async take(step: Exclude<Step, { kind: "send" }>): Promise<string | undefined> {
    if (step.kind === "end") {
      if (step.how === "reset") this.#socket.resetAndDestroy();
      else this.#socket.end();
      return undefined;
    }
    if (step.kind === "closed") {
      const reply = await this.#reply();
      return reply === undefined ? undefined : `the relay said ${JSON.stringify(reply)} instead of ending the connection`;
    }
    const reply = await this.#reply();
    if (reply !== undefined && step.pattern.test(reply)) return undefined;
    if (!step.optional) return `the relay said ${JSON.stringify(reply ?? "(closed)")} instead of ${step.text}`;
    if (reply !== undefined) this.#heard = `${reply.replaceAll("|", "\r\n")}\r\n${this.#heard}`;
    return undefined;
  }

  /** The next whole reply, lines joined by `|`; undefined when the relay has ended the connection. */
  async #reply(): Promise<string | undefined> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const whole = /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n/.exec(this.#heard)?.[0];
      if (whole !== undefined) {
        this.#heard = this.#heard.slice(whole.length);
        return whole.trimEnd().replaceAll("\r\n", "|");
      }
      if (this.#closed) return this.#heard === "" ? undefined : `(broken) ${this.#heard}`;
      const left = deadline - performance.now();
      if (left <= 0) return `(nothing for ${PATIENCE_MS / 1000} s)`;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  drop(): void {
    if (!this.#socket.destroyed) this.#socket.destroy();
  }
}
