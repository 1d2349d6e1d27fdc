/** Reading of requests: queue filters from a query or a body, bodies of bounded size, and what is wrong with them. */
import { RECIPIENT_STATES } from "./states.ts";
import type { QueueFilter } from "../queue/queue.ts";
import type { RecipientState } from "../mail/message.ts";

/** A request that cannot be understood. `status` is the HTTP status it is answered with. */
export class RequestFault extends Error {
  readonly status: 400 | 404 | 405 | 413 | 415;
  readonly code: string;

  constructor(status: RequestFault["status"], code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const MOST_BODY_BYTES = 1024 * 1024;
const MOST_IDS = 20_000;
const MOST_TEXT = 1000;
const QUEUE_ID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Reads a JSON object of at most 1 MiB. */
export async function readJsonObject(request: Request): Promise<Record<string, unknown>> {
  if (!/^application\/json\b/i.test(request.headers.get("content-type") ?? "")) {
    throw new RequestFault(415, "content_type", "expected Content-Type application/json");
  }
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of request.body ?? []) {
    length += part.byteLength;
    if (length > MOST_BODY_BYTES) throw new RequestFault(413, "too_large", `a body may have at most ${MOST_BODY_BYTES} octets`);
    parts.push(part);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(parts).toString("utf8"));
  } catch {
    throw new RequestFault(400, "not_json", "the body is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new RequestFault(400, "not_json", "expected a JSON object");
  return { ...value };
}

/** Reads the keys of a filter: ids, states, lane, client, device, from, to, acceptedBefore. Unknown keys are faults. */
export function readFilter(value: Readonly<Record<string, unknown>>): QueueFilter {
  const filter: Mutable<QueueFilter> = {};
  for (const [key, given] of Object.entries(value)) {
    if (given === undefined) continue;
    switch (key) {
      case "ids":
        filter.ids = readIds(given);
        break;
      case "states":
        filter.states = readStates(given);
        break;
      case "lane":
      case "client":
      case "device":
      case "from":
      case "to":
        filter[key] = readText(key, given);
        break;
      case "acceptedBefore":
        filter.acceptedBefore = readInteger(key, given, 0, Number.MAX_SAFE_INTEGER);
        break;
      default:
        throw new RequestFault(400, "unknown_key", `unknown key ${JSON.stringify(key.slice(0, 40))}`);
    }
  }
  return filter;
}

/** Queue ids, upper-cased; each must look like one. */
export function readIds(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > MOST_IDS)
    throw new RequestFault(400, "ids", `ids: expected a list of at most ${MOST_IDS} queue ids`);
  return value.map((id: unknown) => {
    const text = typeof id === "string" ? id.toUpperCase() : "";
    if (!QUEUE_ID.test(text))
      throw new RequestFault(400, "ids", `${JSON.stringify(String(id).slice(0, 40))} is not a queue id (26 letters and digits)`);
    return text;
  });
}

function readStates(value: unknown): RecipientState[] {
  const states: readonly unknown[] = Array.isArray(value) ? value : [];
  if (states.length === 0 || states.length > RECIPIENT_STATES.length)
    throw new RequestFault(400, "states", "states: expected a list of recipient states");
  return states.map((state) => {
    const known = RECIPIENT_STATES.find((name) => name === state);
    if (known === undefined) {
      throw new RequestFault(
        400,
        "states",
        `${JSON.stringify(String(state).slice(0, 40))} is not a state; one of ${RECIPIENT_STATES.join(", ")}`,
      );
    }
    return known;
  });
}

export function readText(key: string, value: unknown): string {
  if (typeof value !== "string" || value === "" || value.length > MOST_TEXT)
    throw new RequestFault(400, key, `${key}: expected a text of 1 to ${MOST_TEXT} characters`);
  return value;
}

export function readInteger(key: string, value: unknown, least: number, most: number): number {
  const number = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value;
  if (typeof number !== "number" || !Number.isSafeInteger(number) || number < least || number > most) {
    throw new RequestFault(400, key, `${key}: expected a whole number from ${least} to ${most}`);
  }
  return number;
}
