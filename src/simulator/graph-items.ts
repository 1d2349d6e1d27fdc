/** Messages of a mailbox as Graph shows them: the folders, `$filter`, `$select`, and the properties of a message. */
import { Buffer } from "node:buffer";

import { GraphFault, badRequest } from "./graph-fault.ts";
import { headerValues } from "./headers.ts";
import type { HeaderField } from "./headers.ts";
import type { MailStore, ReceivedMessage } from "./mail-store.ts";
import { ownsAddress } from "./tenant.ts";
import type { TenantMailbox } from "./tenant.ts";

/** Folders there are. Drafts are kept elsewhere. */
export const FOLDERS = ["inbox", "sentitems"] as const;
export type Folder = (typeof FOLDERS)[number];

const TOP_DEFAULT = 10;
const TOP_MAX = 1000;
const ID_PREFIX = "AAMkAD";

/** What a folder holds, oldest first. Mail that was carried over into a later minute is not there yet. */
export function messagesIn(store: MailStore, folder: Folder, mailbox: TenantMailbox, now: number): ReceivedMessage[] {
  return store.messages.filter((message) => {
    if (folder === "sentitems") return message.inSentItems && ownsAddress(mailbox, message.mailbox);
    return message.deliveredAt <= now && message.internal.some((recipient) => ownsAddress(mailbox, recipient));
  });
}

/** The id of a message in a folder. */
function idOf(folder: Folder, message: ReceivedMessage): string {
  return ID_PREFIX + Buffer.from(`${folder}/${message.id}`).toString("base64url");
}

/** The message with this id in this mailbox. */
export function findItem(
  store: MailStore,
  mailbox: TenantMailbox,
  id: string,
  now: number,
): { folder: Folder; message: ReceivedMessage } | undefined {
  if (!id.startsWith(ID_PREFIX)) return undefined;
  const [name = "", number] = Buffer.from(id.slice(ID_PREFIX.length), "base64url").toString("utf8").split("/");
  const folder = FOLDERS.find((one) => one === name);
  if (folder === undefined) return undefined;
  const message = messagesIn(store, folder, mailbox, now).find((candidate) => candidate.id === number);
  return message === undefined ? undefined : { folder, message };
}

interface Addressee {
  readonly emailAddress: { readonly name: string; readonly address: string };
}

function addressee(address: string): Addressee {
  return { emailAddress: { name: address, address } };
}

/** Every property, `internetMessageHeaders` among them, which Graph shows only when it is selected. */
function properties(folder: Folder, message: ReceivedMessage, addressesOfField: (name: string) => string[]): Record<string, unknown> {
  const at = new Date(message.receivedAt).toISOString().replace(/\.\d+/, "");
  const [from = message.reversePath] = message.headerFrom;
  const headers: readonly HeaderField[] = message.headers;
  return {
    id: idOf(folder, message),
    createdDateTime: at,
    lastModifiedDateTime: at,
    receivedDateTime: at,
    sentDateTime: at,
    hasAttachments: headerValues(headers, "Content-Type").some((value) => /^multipart\/mixed/i.test(value)),
    internetMessageId: message.messageId,
    subject: message.subject,
    importance: "normal",
    parentFolderId: folder,
    isRead: folder === "sentitems",
    isDraft: false,
    sender: addressee(message.mailbox === "" ? from : message.mailbox),
    from: addressee(from),
    toRecipients: addressesOfField("To").map(addressee),
    ccRecipients: addressesOfField("Cc").map(addressee),
    bccRecipients: folder === "sentitems" ? message.bcc.map(addressee) : [],
    internetMessageHeaders: headers.map(({ name, value }) => ({ name, value })),
  };
}

/** A message as JSON. `select` undefined: what Graph shows by default. */
export function describeItem(
  folder: Folder,
  message: ReceivedMessage,
  addressesOfField: (name: string) => string[],
  select: readonly string[] | undefined,
): Record<string, unknown> {
  const { internetMessageHeaders, ...usual } = properties(folder, message, addressesOfField);
  const all: Record<string, unknown> = { ...usual, internetMessageHeaders };
  const etag = `W/"${message.contentSha256.slice(0, 16)}"`;
  if (select === undefined) return { "@odata.etag": etag, ...usual };
  const unknown = select.find((name) => !(name in all));
  if (unknown !== undefined) {
    throw badRequest(
      `Could not find a property named '${unknown}' on type 'Microsoft.OutlookServices.Message'.`,
      "RequestBroker--ParseUri",
    );
  }
  return { "@odata.etag": etag, id: all["id"], ...Object.fromEntries(select.map((name) => [name, all[name]])) };
}

/** What a listing was asked for. */
export interface ItemQuery {
  readonly matches: (message: ReceivedMessage) => boolean;
  readonly select: readonly string[] | undefined;
  readonly top: number;
  readonly skip: number;
  readonly newestFirst: boolean;
}

const OPTIONS = ["$filter", "$select", "$top", "$skip", "$orderby", "$count"];

/** Reads `$filter`, `$select`, `$top`, `$skip`, `$orderby`. @throws GraphFault 400 for what is not understood: never a wrong list */
export function readQuery(search: URLSearchParams): ItemQuery {
  for (const name of search.keys()) {
    if (name.startsWith("$") && !OPTIONS.includes(name))
      throw badRequest(`The query parameter '${name}' is not supported by the stand-in.`);
  }
  const order = search.get("$orderby") ?? "receivedDateTime desc";
  if (!/^(receivedDateTime|sentDateTime|createdDateTime)( (asc|desc))?$/i.test(order))
    throw badRequest(`The '$orderby' '${order}' is not supported by the stand-in.`);
  return {
    matches: readFilter(search.get("$filter")),
    select: search
      .get("$select")
      ?.split(",")
      .map((name) => name.trim())
      .filter((name) => name !== ""),
    top: whole(search, "$top", TOP_DEFAULT, 1, TOP_MAX),
    skip: whole(search, "$skip", 0, 0, 1_000_000),
    newestFirst: / desc$/i.test(order),
  };
}

function whole(search: URLSearchParams, name: string, otherwise: number, least: number, most: number): number {
  const value = search.get(name);
  if (value === null) return otherwise;
  const number = Number(value);
  if (!/^\d{1,7}$/.test(value) || number < least || number > most)
    throw badRequest(`Invalid value '${value}' for ${name} query option found.`);
  return number;
}

type Condition = (message: ReceivedMessage) => boolean;

/** Conditions joined by `and`: `internetMessageId eq '…'`, `subject eq '…'`, `sentDateTime ge …`. */
function readFilter(filter: string | null): Condition {
  if (filter === null) return () => true;
  const conditions: Condition[] = [];
  let rest = filter.trim();
  while (rest !== "") {
    const match = /^(\w+) (eq|ne|ge|gt|le|lt) ('(?:[^']|'')*'|[^\s']+)(?: and |$)/i.exec(rest);
    if (match === null) throw new GraphFault(400, "BadRequest", "Invalid filter clause");
    conditions.push(readCondition(match[1] ?? "", (match[2] ?? "").toLowerCase(), match[3] ?? ""));
    rest = rest.slice(match[0].length);
  }
  return (message) => conditions.every((condition) => condition(message));
}

function readCondition(property: string, operator: string, literal: string): Condition {
  const quoted = /^'(.*)'$/s.exec(literal)?.[1]?.replaceAll("''", "'");
  if (property === "internetMessageId" || property === "subject") {
    if (quoted === undefined || (operator !== "eq" && operator !== "ne")) throw badRequest("Invalid filter clause");
    const value = (message: ReceivedMessage): string => (property === "subject" ? message.subject : message.messageId);
    return (message) => (value(message) === quoted) === (operator === "eq");
  }
  const time = Date.parse(literal);
  if (!/^(receivedDateTime|sentDateTime|createdDateTime)$/.test(property) || quoted !== undefined || Number.isNaN(time)) {
    throw badRequest(`The filter on '${property}' is not supported by the stand-in.`, "ErrorInvalidUrlQueryFilter");
  }
  return ({ receivedAt }) => {
    if (operator === "eq" || operator === "ne") return (receivedAt === time) === (operator === "eq");
    return operator.startsWith("g")
      ? receivedAt > time || (operator === "ge" && receivedAt === time)
      : receivedAt < time || (operator === "le" && receivedAt === time);
  };
}
