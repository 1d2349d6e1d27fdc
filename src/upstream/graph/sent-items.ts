/**
 * Whether a message whose answer was lost is in Sent Items already, so that it is not sent a second time.
 *
 * A copy counts when its Message-ID is ours, its X-Postern-Id too where Graph shows the header, and it went to somebody of this delivery.
 * Devices exist that write the same Message-ID into every message: the first alone would take new mail for old, and lose it.
 */
import { addressKey } from "../../mime/addresses.ts";
import { headerIn } from "../../mime/header-block.ts";
import type { Delivery } from "../upstream.ts";
import { jsonOf } from "./answers.ts";
import type { GraphExchange, GraphRequest } from "./http.ts";

/** One request with a valid token. */
export type Ask = (request: Omit<GraphRequest, "headers">) => Promise<GraphExchange>;

export type Finding =
  | { readonly kind: "found"; readonly id: string }
  | { readonly kind: "absent" }
  /** The application may not read the mailbox, or Graph does not understand the question: nothing can be known. */
  | { readonly kind: "unreadable" }
  /** Neither yes nor no for the moment. */
  | { readonly kind: "failed"; readonly exchange: GraphExchange };

/** Statuses that will be the same next time. */
const NEVER: ReadonlySet<number> = new Set([400, 403, 404, 405, 410, 501]);
/** Of a copy's octets, for its header. */
const MOST_HEADER_OCTETS = 300 * 1024;
const MOST_COPIES = 25;

/**
 * Looks once.
 *
 * @param user - path of the mailbox: `/v1.0/users/scanner%40contoso.com`
 * @param messageId - with its angle brackets
 */
export async function findInSentItems(ask: Ask, user: string, messageId: string, delivery: Delivery): Promise<Finding> {
  const query = new URLSearchParams([
    ["$filter", `internetMessageId eq '${messageId.replaceAll("'", "''")}'`],
    ["$select", "id,internetMessageId,toRecipients,ccRecipients,bccRecipients,internetMessageHeaders"],
    ["$top", String(MOST_COPIES)],
  ]);
  const path = `${user}/mailFolders/sentitems/messages?${query.toString().replaceAll("+", "%20")}`;
  const exchange = await ask({ method: "GET", path, mostAnswerOctets: 4 * 1024 * 1024 });
  const { answer } = exchange;
  if (answer === undefined) return { kind: "failed", exchange };
  if (NEVER.has(answer.status)) return { kind: "unreadable" };
  const value = answer.status === 200 ? jsonOf(answer.body)?.["value"] : undefined;
  if (!Array.isArray(value)) return { kind: "failed", exchange };
  for (const item of value as unknown[]) {
    const copy = (typeof item === "object" && item !== null ? item : {}) as Readonly<Record<string, unknown>>;
    const id = copy["id"];
    if (typeof id !== "string" || copy["internetMessageId"] !== messageId || !wentTo(copy, delivery.recipients)) continue;
    const posternId = listedId(copy) ?? (await storedId(ask, user, id));
    if (posternId === undefined || posternId === delivery.queueId) return { kind: "found", id };
  }
  return { kind: "absent" };
}

/** Whether the copy went to somebody of ours; true where Graph names no recipients at all. */
function wentTo(copy: Readonly<Record<string, unknown>>, recipients: readonly string[]): boolean {
  const lists = [copy["toRecipients"], copy["ccRecipients"], copy["bccRecipients"]].filter(Array.isArray) as unknown[][];
  if (lists.length === 0) return true;
  const ours = new Set(recipients.map(addressKey));
  return lists.flat().some((entry) => {
    const address = (entry as { emailAddress?: { address?: unknown } } | null)?.emailAddress?.address;
    return typeof address === "string" && ours.has(addressKey(address));
  });
}

/** X-Postern-Id among the headers that the list shows; Graph leaves them out for many a sent message. */
function listedId(copy: Readonly<Record<string, unknown>>): string | undefined {
  const headers = copy["internetMessageHeaders"];
  if (!Array.isArray(headers)) return undefined;
  for (const header of headers as unknown[]) {
    const { name, value } = (header ?? {}) as { name?: unknown; value?: unknown };
    if (typeof name === "string" && typeof value === "string" && name.toLowerCase() === "x-postern-id") return value.trim();
  }
  return undefined;
}

/** X-Postern-Id in the copy itself; undefined when it cannot be had. */
async function storedId(ask: Ask, user: string, id: string): Promise<string | undefined> {
  const path = `${user}/messages/${encodeURIComponent(id)}/$value`;
  const { answer } = await ask({ method: "GET", path, mostAnswerOctets: MOST_HEADER_OCTETS });
  if (answer?.status !== 200) return undefined;
  const header = headerIn(answer.body);
  const field = header?.named("x-postern-id")[0];
  return header === undefined || field === undefined ? undefined : header.valueOf(field);
}
