/**
 * What the answers of a next hop mean, as one table: the judge reads it, docs/errors.md is made from it, a test walks it.
 *
 * Rows are tried in order and the first that fits wins, so what is particular stands before what is general: Graph's answers, which fit no other
 * door, then the reasons, then trouble that passes. Words are matched as well as codes, because Microsoft uses one enhanced code for several
 * meanings. What no row fits is judged by class (see `judge.ts`).
 */
import { ATTRIBUTION } from "./answers/attribution.ts";
import { CONTENT } from "./answers/content.ts";
import { GRAPH } from "./answers/graph.ts";
import { LIMITS } from "./answers/limits.ts";
import { RECIPIENTS } from "./answers/recipients.ts";
import { SENDER } from "./answers/sender.ts";
import { SERVICE } from "./answers/service.ts";
import { SIGN_IN } from "./answers/sign-in.ts";
import type { AnswerRow } from "./meaning.ts";

/** The rows by theme, as docs/errors.md shows them. */
export const ANSWER_THEMES: readonly { readonly title: string; readonly rows: readonly AnswerRow[] }[] = [
  { title: "Microsoft Graph", rows: GRAPH },
  { title: "TLS, host name and sign-in", rows: SIGN_IN },
  { title: "The sender", rows: SENDER },
  { title: "Limits and blocks", rows: LIMITS },
  { title: "The message", rows: CONTENT },
  { title: "Connectors, Direct Send and our address", rows: ATTRIBUTION },
  { title: "Recipients", rows: RECIPIENTS },
  { title: "Trouble that passes", rows: SERVICE },
];

/** Every row, in the order in which they are tried. */
export const ANSWERS: readonly AnswerRow[] = ANSWER_THEMES.flatMap(({ rows }) => rows);

/** A catalogued reply that no door of ours can be given: it comes only as bounce mail, or in a message trace. */
export interface ElsewhereRow {
  /** Its number in the catalogue. */
  readonly catalogue: string;
  readonly reply: string;
  /** Where it is seen. */
  readonly seen: string;
  readonly cause: string;
  readonly remedy: string;
}

export const ELSEWHERE: readonly ElsewhereRow[] = [
  {
    catalogue: "81",
    reply: "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded",
    seen: "bounce mail, message trace",
    cause: "too many deliveries to one mailbox at once",
    remedy: "Find the device or application that floods it, and make it send less",
  },
  {
    catalogue: "83",
    reply: "450 4.7.320 Certificate validation failed; 450 4.4.317 Cannot establish session with remote server",
    seen: "bounce mail and message trace of Exchange Online",
    cause: "Exchange Online does not accept the certificate of the server that it sends to",
    remedy: "Correct the certificate of that server. Postern takes no mail from Exchange Online",
  },
  {
    catalogue: "84",
    reply: "4.7.321 to 4.7.325, 5.7.321 to 5.7.325 (DANE); 4.4.8, 5.4.8, 4.7.5, 5.7.5 (MTA-STS)",
    seen: "bounce mail of Exchange Online",
    cause: "the recipient's domain has a broken DANE or MTA-STS record",
    remedy: "Tell the postmaster of that domain",
  },
  {
    catalogue: "85",
    reply: "4.4.7 Message expired; 5.4.300; 5.0.350",
    seen: "bounce mail of Exchange Online",
    cause: "the recipient's server could not be reached, or refused the message",
    remedy: "Read the inner text of the bounce mail: it quotes that server",
  },
];
