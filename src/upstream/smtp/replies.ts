/** Reads replies and reports each to whoever watches. */
import type { Emit } from "../../mail/events.ts";
import { parseReply } from "../../mail/reply.ts";
import type { Reply } from "../../mail/reply.ts";
import type { Stage } from "../upstream.ts";

/** Servers say the same few things all day. Final replies carry ids and would only push those out. */
const MOST_REMEMBERED = 128;
const LONGEST_REMEMBERED = 80;

/** Turns wire text into replies, and emits `upstream.replied` for each. */
export class ReplyReader {
  readonly #upstream: string;
  readonly #emit: Emit;
  readonly #remembered = new Map<string, Reply>();
  /** The reply read last, which is asked for again when it was a final one. */
  #last: { readonly wire: string; readonly reply: Reply | undefined } | undefined;

  constructor(upstream: string, emit: Emit) {
    this.#upstream = upstream;
    this.#emit = emit;
  }

  /** A reply came. Text that is no reply is not reported here: it becomes a fault. */
  note(stage: Stage, wire: string): void {
    const reply = this.#recall(wire, stage !== "final");
    if (reply !== undefined) this.#emit({ type: "upstream.replied", upstream: this.#upstream, stage, reply });
  }

  /** A reply that was noted before, as a value; undefined for text that is none. */
  read(wire: string): Reply | undefined {
    return this.#recall(wire, false);
  }

  #recall(wire: string, remember: boolean): Reply | undefined {
    if (this.#last?.wire === wire) return this.#last.reply;
    const known = this.#remembered.get(wire);
    if (known !== undefined) return known;
    const reply = parseReply(wire);
    this.#last = { wire, reply };
    if (remember && reply !== undefined && wire.length <= LONGEST_REMEMBERED) {
      if (this.#remembered.size >= MOST_REMEMBERED) this.#remembered.clear();
      this.#remembered.set(wire, reply);
    }
    return reply;
  }
}
