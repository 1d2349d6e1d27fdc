/** The kinds of values that requests and answers are made of. */
import { RECIPIENT_STATES } from "../states.ts";
import { z } from "./engine.ts";

const MOST_TEXT = 1000;
const MOST_IDS = 20_000;
const QUEUE_ID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

/** What was expected, as the message of a fault. */
const expected = (what: string) => ({ error: () => `expected ${what}` });

// ---- in requests -------------------------------------------------------------------------------------------------------------

/** Text of 1 to 1,000 characters. */
export const text = (description: string) => {
  const what = expected(`a text of 1 to ${MOST_TEXT} characters`);
  return z.string(what).min(1, what).max(MOST_TEXT, what).describe(description);
};

/** A whole number; a query has it in digits. */
export const integer = (least: number, most: number, description: string) =>
  z.preprocess(fromDigits, wholeNumber(least, most)).describe(description);

/** The same, and what it is where it is not given. */
export const integerOr = (fallback: number, least: number, most: number, description: string) =>
  z.preprocess(fromDigits, wholeNumber(least, most).default(fallback)).describe(description);

const fromDigits = (value: unknown): unknown => (typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value);

function wholeNumber(least: number, most: number) {
  const what = expected(`a whole number from ${least} to ${most}`);
  return z.int(what).min(least, what).max(most, what);
}

/** A queue id in any case of letters. */
export const queueId = () => {
  const what = expected("a queue id (26 letters and digits)");
  const read = (value: unknown): unknown => (typeof value === "string" ? value.toUpperCase() : value);
  return z.preprocess(read, z.string(what).regex(QUEUE_ID, what)).describe("Queue id.");
};

/** A list in a query: its values with commas between them. */
export const listed = <T extends z.ZodType>(items: T) =>
  z.preprocess((value) => (typeof value === "string" ? value.split(",") : value), items);

export const queueIds = () =>
  z.array(queueId(), expected(`a list of at most ${MOST_IDS} queue ids`)).max(MOST_IDS, expected(`at most ${MOST_IDS} queue ids`));

export const states = () => {
  const what = expected(`a list of states: ${RECIPIENT_STATES.join(", ")}`);
  return z.array(z.enum(RECIPIENT_STATES, what), what).min(1, what).max(RECIPIENT_STATES.length, what);
};

/** A moment in a request, ms since the epoch. */
export const moment = (description: string) => integer(0, Number.MAX_SAFE_INTEGER, `${description} In ms since the epoch.`);

// ---- in answers --------------------------------------------------------------------------------------------------------------

/** A moment in an answer. */
export const time = (description: string) => z.number().describe(`${description} In ms since the epoch.`);

/** A list that nobody changes. */
export const list = <T extends z.ZodType>(item: T) => z.array(item).readonly();

export const Reply = z
  .strictObject({ code: z.int(), enhanced: z.string().optional(), text: z.string(), protocol: z.literal("http").optional() })
  .describe(
    "A reply of a mail server: its code (an HTTP status where protocol says so), its enhanced status code where it sent one, its text.",
  );

export const State = z.enum(RECIPIENT_STATES).describe("State of a recipient.");
