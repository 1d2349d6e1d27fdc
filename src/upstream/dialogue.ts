/** What was said on a connection lately, kept in memory until an attempt fails and somebody may want to read it. */
import type { TranscriptKeeper, TranscriptLine } from "../mail/transcript.ts";
import { formatReply } from "../mail/reply.ts";
import type { Clock } from "../platform/clock.ts";
import type { AttemptFacts, Refusal } from "./upstream.ts";

/** Of the opening, and of one message: a message to 450 recipients has 900 and more lines, of which the last tell most. */
const MOST_LINES = 200;
/** RFC 5321 §4.5.3.1.5 has 512 octets; extensions make it more. */
const LONGEST_LINE = 1000;

export class Dialogue {
  readonly #clock: Clock;
  /** Greeting to signing in: said once, and part of each message's transcript. */
  readonly #opening: TranscriptLine[] = [];
  #lines: TranscriptLine[] = this.#opening;
  #left = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A message begins: what was said for the one before is forgotten. */
  begin(): void {
    this.#lines = [];
    this.#left = 0;
  }

  /** One command or several, without secrets. */
  sent(commands: string): void {
    this.#add(">", commands);
  }

  /** A reply of one or several lines. */
  received(reply: string): void {
    this.#add("<", reply);
  }

  happened(what: string): void {
    this.#add("-", what);
  }

  /** All of it, a line each. */
  lines(): TranscriptLine[] {
    const all = this.#lines === this.#opening ? this.#opening : [...this.#opening, ...this.#lines];
    const lines = all.flatMap(({ at, from, text }) =>
      text
        .replace(/\r?\n$/, "")
        .split(/\r?\n/)
        .map((line): TranscriptLine => ({ at, from, text: line.slice(0, LONGEST_LINE) })),
    );
    if (this.#left > 0)
      lines.splice(this.#opening.length, 0, { at: lines[0]?.at ?? 0, from: "-", text: `(${this.#left} commands and replies left out)` });
    return lines;
  }

  #add(from: TranscriptLine["from"], text: string): void {
    this.#lines.push({ at: this.#clock.now(), from, text });
    if (this.#lines.length <= MOST_LINES) return;
    // In one go: to shift an array for each line of a long message is dear.
    this.#left += MOST_LINES / 2;
    this.#lines.splice(0, MOST_LINES / 2);
  }
}

/** Payloads of AUTH are struck out whatever they are; only the mechanism stays. */
export function withoutCredentials(command: string): string {
  const mechanism = /^AUTH [A-Z0-9_-]{1,30}/i.exec(command)?.[0];
  if (mechanism === undefined) return command === "" ? "" : "***";
  return command.length > mechanism.length ? `${mechanism} ***` : mechanism;
}

/** An answer to AUTH: no challenge, and nothing that could be a token or the secret sent back. */
export function withoutChallenge(reply: string, secret?: string): string {
  const struck = reply
    .replace(/^334[ -].*$/gm, "334 ***")
    // JSON Web Tokens, and long runs of base64.
    .replace(/eyJ[A-Za-z0-9_=.-]{20,}/g, "***")
    .replace(/[A-Za-z0-9+/_=-]{50,}/g, "***");
  return secret === undefined ? struck : struck.replaceAll(secret, "***").replaceAll(Buffer.from(secret).toString("base64"), "***");
}

/** The dialogue that led to a refusal before there was a connection to keep. */
const refused = new WeakMap<Refusal, Dialogue>();

/** Remembers what was said before this refusal. */
export function attachDialogue(refusal: Refusal, dialogue: Dialogue | undefined): void {
  if (dialogue !== undefined) refused.set(refusal, dialogue);
}

export function dialogueOf(refusal: Refusal): Dialogue | undefined {
  return refused.get(refusal);
}

/** Keeps what was said in an attempt, where that is wanted. */
export function keepTranscript(
  keeper: TranscriptKeeper | undefined,
  about: { readonly upstream: string; readonly queueId: string | undefined; readonly clock: Clock },
  facts: Pick<AttemptFacts, "remote" | "tls" | "refusal"> & Partial<Pick<AttemptFacts, "recipients" | "ambiguous">>,
  dialogue: Dialogue | undefined,
): void {
  if (keeper === undefined || keeper.of === "off") return;
  const { remote, tls, refusal, recipients = [], ambiguous = false } = facts;
  const failed = refusal !== undefined || ambiguous || recipients.some((one) => one.refusal !== undefined);
  if (!failed && keeper.of === "errors") return;
  const { upstream, queueId, clock } = about;
  const at = clock.now();
  const lines = dialogue?.lines() ?? [];
  if (refusal !== undefined) lines.push({ at, from: "-", text: endOf(refusal) });
  keeper.keep({ at, queueId, upstream, remote, tls, failed, lines });
}

function endOf({ stage, reply, fault }: Refusal): string {
  const why = reply === undefined ? `${fault?.code ?? ""}: ${fault?.detail ?? ""}` : formatReply(reply);
  return `ended at ${stage}: ${stage === "auth" || stage === "token" ? withoutChallenge(why) : why}`.slice(0, LONGEST_LINE);
}
