/** Cuts what a server sends into replies, reads them and reports each to whoever watches. */
import type { Emit, EventOf } from "../../mail/events.ts";
import { parseReply } from "../../mail/reply.ts";
import type { Reply } from "../../mail/reply.ts";
import { STAGES } from "../upstream.ts";
import type { Stage } from "../upstream.ts";

/** Servers say the same few things all day. Final replies carry ids and would only push those out. */
const MOST_REMEMBERED = 64;
const LONGEST_REMEMBERED = 80;

/** Turns wire text into replies, and emits `upstream.replied` for each. Replies of equal text are one value, and so are their events. */
export class ReplyReader {
  readonly #upstream: string;
  readonly #emit: Emit;
  readonly #remembered = Object.fromEntries(STAGES.map((stage) => [stage, new Map()])) as Readonly<
    Record<Stage, Map<string, EventOf<"upstream.replied">>>
  >;

  constructor(upstream: string, emit: Emit) {
    this.#upstream = upstream;
    this.#emit = emit;
  }

  /**
   * Reads a reply. Text that is none is not reported: it becomes a fault.
   *
   * @param wire - one reply of one or several lines, octets as latin1 or decoded
   */
  note(stage: Stage, wire: string): Reply | undefined {
    const remembered = this.#remembered[stage];
    let event = remembered.get(wire);
    if (event === undefined) {
      const reply = parseReply(decoded(wire));
      if (reply === undefined) return undefined;
      event = { type: "upstream.replied", upstream: this.#upstream, stage, reply };
      if (stage !== "final" && wire.length <= LONGEST_REMEMBERED) {
        if (remembered.size >= MOST_REMEMBERED) remembered.clear();
        remembered.set(wire, event);
      }
    }
    this.#emit(event);
    return event.reply;
  }
}

/** Replies have no charset (RFC 5321 §4.2.1): UTF-8 where they are that, else octets as latin1. The library's are decoded already. */
function decoded(wire: string): string {
  if (!/[\u0080-\u00ff]/.test(wire) || /[^\u0000-\u00ff]/.test(wire)) return wire;
  const utf8 = Buffer.from(wire, "latin1").toString("utf8");
  return utf8.includes("\ufffd") ? wire : utf8;
}

/** Whether the line that starts here says that the reply goes on after it: `250-`. */
export function isContinued(text: string, line: number): boolean {
  return text.charCodeAt(line + 3) === 0x2d && isDigit(text, line) && isDigit(text, line + 1) && isDigit(text, line + 2);
}

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= 0x30 && code <= 0x39;
}
