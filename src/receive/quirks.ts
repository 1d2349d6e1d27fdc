/**
 * What a listener or a client does differently for devices that need it. The defaults serve every device that can be served without being told
 * of; these are for the rest, where what helps one device harms another.
 */

/** Keywords of EHLO that can be hidden. STARTTLS and AUTH have settings of their own. */
export type HideableKeyword = "SIZE" | "PIPELINING" | "8BITMIME" | "SMTPUTF8" | "ENHANCEDSTATUSCODES";

/** Overrides as a listener or a client gives them. What is absent is as the next wider one has it: client, listener, default. */
export interface QuirkOverrides {
  /** Whether `AUTH LOGIN PLAIN` is offered where nobody needs it: some devices want to be asked, others insist on a password once they are. */
  readonly auth?: "hide" | "offer" | undefined;
  /** Offers AUTH a second time as `AUTH=LOGIN PLAIN`, the spelling before RFC 2554. */
  readonly authEquals?: boolean | undefined;
  readonly ehloHide?: readonly HideableKeyword[] | undefined;
  /** LF . LF and its mixed forms end the data too. Opens the door to smuggled commands in what such a device passes on for others. */
  readonly lenientEndOfData?: boolean | undefined;
  /** A message that is octet for octet one of this span, from the same device with the same envelope, is answered and dropped. 0: never. */
  readonly suppressRepeatsWithinMs?: number | undefined;
}

/** What holds for a session. */
export type Quirks = { readonly [K in keyof Required<QuirkOverrides>]: NonNullable<QuirkOverrides[K]> };

export const DEFAULT_QUIRKS: Quirks = {
  auth: "hide",
  authEquals: false,
  ehloHide: [],
  lenientEndOfData: false,
  suppressRepeatsWithinMs: 0,
};

/** The client's word goes before the listener's, the listener's before the default. */
export function quirksOf(listener: QuirkOverrides | undefined, client: QuirkOverrides | undefined): Quirks {
  if (listener === undefined && client === undefined) return DEFAULT_QUIRKS;
  const pick = <K extends keyof Quirks>(key: K): Quirks[K] => (client?.[key] ?? listener?.[key] ?? DEFAULT_QUIRKS[key]) as Quirks[K];
  return {
    auth: pick("auth"),
    authEquals: pick("authEquals"),
    ehloHide: pick("ehloHide"),
    lenientEndOfData: pick("lenientEndOfData"),
    suppressRepeatsWithinMs: pick("suppressRepeatsWithinMs"),
  };
}
