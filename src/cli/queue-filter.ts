/** The options that choose recipients in the queue, and what they mean to it. */
import { PosternError } from "../mail/errors.ts";
import type { RecipientState } from "../mail/message.ts";
import type { QueueFilter } from "../queue/queue.ts";
import { RECIPIENT_STATES } from "../admin/states.ts";

/** As the command line gives them. */
export interface QueueOptions {
  readonly state?: string;
  readonly upstream?: string;
  readonly client?: string;
  readonly device?: string;
  readonly from?: string;
  readonly to?: string;
  readonly olderThan?: string;
}

const QUEUE_ID = /^[0-9A-HJKMNP-TV-Z]{26}$/;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * @param now - ms since the epoch, which `--older-than` counts back from
 * @throws PosternError E_USAGE naming the option
 */
export function toFilter(ids: readonly string[], options: QueueOptions, now: number): QueueFilter {
  // A variable of a script that holds nothing, most of all.
  for (const name of ["upstream", "client", "device", "from", "to"] as const)
    if (options[name] === "") throw new PosternError("E_USAGE", `--${name}: expected a text, not an empty one`);
  return {
    ...(ids.length > 0 && { ids: ids.map(readQueueId) }),
    ...(options.state !== undefined && { states: options.state.split(",").map(readState) }),
    ...(options.upstream !== undefined && { lane: options.upstream }),
    ...(options.client !== undefined && { client: options.client }),
    ...(options.device !== undefined && { device: options.device }),
    ...(options.from !== undefined && { from: readPart("--from", options.from) }),
    ...(options.to !== undefined && { to: readPart("--to", options.to) }),
    ...(options.olderThan !== undefined && { acceptedBefore: now - readAge(options.olderThan, now) }),
  };
}

/** A queue id in any case. */
export function readQueueId(text: string): string {
  const id = text.toUpperCase();
  if (!QUEUE_ID.test(id)) throw new PosternError("E_USAGE", `${JSON.stringify(text)} is not a queue id (26 letters and digits)`);
  return id;
}

function readState(text: string): RecipientState {
  const state = RECIPIENT_STATES.find((name) => name === text.trim());
  if (state === undefined)
    throw new PosternError("E_USAGE", `--state: ${JSON.stringify(text)} is not a state; one of ${RECIPIENT_STATES.join(", ")}`);
  return state;
}

/** A pattern would find nothing, as if nothing were there. */
function readPart(option: string, text: string): string {
  if (!text.includes("*")) return text;
  throw new PosternError("E_USAGE", `${option}: ${JSON.stringify(text)} is a pattern; give a part of the address, such as @contoso.com`);
}

function readAge(text: string, now: number): number {
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  if (match === null) throw new PosternError("E_USAGE", `--older-than: ${JSON.stringify(text)} is not an age such as 30s, 5m, 4h or 2d`);
  const age = Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? 0);
  // Nothing is older than the count of time.
  return Math.min(age, now);
}
