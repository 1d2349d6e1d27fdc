/** Messages in JSON: what Graph takes, and the MIME that Exchange makes of it. */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";

import { badRequest } from "./graph-fault.ts";
import { newUpstreamId } from "./microsoft-names.ts";
import type { TenantMailbox } from "./tenant.ts";

/** Headers of its own that a message in JSON may have. */
const OWN_HEADERS_MAX = 5;
const LINE = 76;

/** A file in a message. */
export interface Attachment {
  readonly name: string;
  readonly contentType: string;
  readonly contentId: string | undefined;
  readonly isInline: boolean;
  readonly content: Buffer;
}

/** A message as JSON had it. */
export interface JsonMessage {
  readonly subject: string;
  readonly body: { readonly html: boolean; readonly content: string };
  readonly from: string | undefined;
  readonly sender: string | undefined;
  readonly to: readonly string[];
  readonly cc: readonly string[];
  readonly bcc: readonly string[];
  readonly replyTo: readonly string[];
  readonly internetMessageId: string | undefined;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  readonly attachments: readonly Attachment[];
}

type Json = Readonly<Record<string, unknown>>;

/** Properties that are understood or may be left aside without changing who gets what. */
const PROPERTIES = new Set([
  "@odata.type",
  "subject",
  "body",
  "from",
  "sender",
  "toRecipients",
  "ccRecipients",
  "bccRecipients",
  "replyTo",
  "internetMessageId",
  "internetMessageHeaders",
  "attachments",
  "importance",
  "categories",
  "singleValueExtendedProperties",
  "isDeliveryReceiptRequested",
  "isReadReceiptRequested",
]);

function object(value: unknown, name: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw badRequest(`The value of the property '${name}' is not an object.`, "RequestBodyRead");
}

function list(value: unknown, name: string): unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw badRequest(`The value of the property '${name}' is not a collection.`, "RequestBodyRead");
}

function text(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  throw badRequest(`Cannot convert the value of the property '${name}' to the expected type 'Edm.String'.`, "RequestBodyRead");
}

/** One addressee in the form it has in a header. */
function mailboxOf(value: unknown, name: string): string {
  const { emailAddress } = object(value, name);
  const { address, name: display } = object(emailAddress, "emailAddress");
  const given = text(address, "address") ?? "";
  if (!/^[^\s<>@]+@[^\s<>@]+$/.test(given)) {
    throw badRequest(
      `At least one recipient is not valid., Recipient '${given}' is not resolved. All recipients must be resolved before a message can be submitted.`,
      "ErrorInvalidRecipients",
    );
  }
  const shown = text(display, "name") ?? "";
  return shown === "" || shown === given ? `<${given}>` : `${phrase(shown)} <${given}>`;
}

/** A display name: an atom, a quoted string, or an encoded word (RFC 2047). */
function phrase(words: string): string {
  if (/^[\w !#$%&'*+/=?^`{|}~-]+$/.test(words)) return words;
  return /^[ -~]*$/.test(words) ? `"${words.replace(/["\\]/g, "\\$&")}"` : encodedWord(words);
}

function encodedWord(words: string): string {
  return /^[ -~]*$/.test(words) ? words : `=?utf-8?B?${Buffer.from(words).toString("base64")}?=`;
}

/** Reads a message out of a request: `{ message, saveToSentItems }` of sendMail, or the message itself of a draft. @throws GraphFault 400 */
export function readMessage(body: unknown, kind: "sendMail" | "draft"): { message: JsonMessage; save: boolean } {
  const outer = object(body, "request");
  if (kind === "draft") return { message: readFields(outer), save: true };
  const given = outer["message"] ?? outer["Message"];
  if (given === undefined) throw badRequest("The payload must contain the parameter 'Message'.", "ErrorInvalidParameter");
  const save = outer["saveToSentItems"] ?? outer["SaveToSentItems"];
  return { message: readFields(object(given, "message")), save: !(save === false || save === "false") };
}

function readFields(fields: Json): JsonMessage {
  const unknown = Object.keys(fields).find((name) => !PROPERTIES.has(name));
  if (unknown !== undefined)
    throw badRequest(`The property '${unknown}' does not exist on type 'microsoft.graph.message'.`, "RequestBodyRead");
  const body = fields["body"] === undefined || fields["body"] === null ? {} : object(fields["body"], "body");
  const people = (name: string): string[] => list(fields[name], name).map((entry) => mailboxOf(entry, name));
  const person = (name: string): string | undefined => (fields[name] === undefined ? undefined : mailboxOf(fields[name], name));
  return {
    subject: text(fields["subject"], "subject") ?? "",
    body: { html: /^html$/i.test(text(body["contentType"], "contentType") ?? "text"), content: text(body["content"], "content") ?? "" },
    from: person("from"),
    sender: person("sender"),
    to: people("toRecipients"),
    cc: people("ccRecipients"),
    bcc: people("bccRecipients"),
    replyTo: people("replyTo"),
    internetMessageId: text(fields["internetMessageId"], "internetMessageId"),
    headers: readHeaders(fields["internetMessageHeaders"]),
    attachments: list(fields["attachments"], "attachments").map(readAttachment),
  };
}

function readHeaders(value: unknown): { name: string; value: string }[] {
  if (value === undefined || value === null) return [];
  const headers = list(value, "internetMessageHeaders").map((entry) => {
    const fields = object(entry, "internetMessageHeaders");
    return { name: text(fields["name"], "name") ?? "", value: text(fields["value"], "value") ?? "" };
  });
  // An empty list is refused as well, in the same words.
  if (headers.length === 0 || headers.length > OWN_HEADERS_MAX) {
    throw badRequest(
      `The number of internet message headers is invalid. It should be less than or equal to ${OWN_HEADERS_MAX}.`,
      "InvalidInternetMessageHeaderCollection",
    );
  }
  for (const { name, value: content } of headers) {
    if (!/^x-/i.test(name))
      throw badRequest(`The internet message header name '${name}' should start with 'x-' or 'X-'.`, "InvalidInternetMessageHeader");
    if (!/^[!-9;-~]+$/.test(name) || /[\r\n]/.test(content))
      throw badRequest(`The internet message header '${name}' is invalid.`, "InvalidInternetMessageHeader");
  }
  return headers;
}

/** Reads a fileAttachment. @throws GraphFault 400 */
export function readAttachment(value: unknown): Attachment {
  const fields = object(value, "attachment");
  if (fields["@odata.type"] !== "#microsoft.graph.fileAttachment")
    throw badRequest("Only attachments of type '#microsoft.graph.fileAttachment' are taken.", "ErrorInvalidRequest");
  const encoded = text(fields["contentBytes"], "contentBytes") ?? "";
  if (encoded.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(encoded))
    throw badRequest("Cannot convert the value of the property 'contentBytes' to the expected type 'Edm.Binary'.", "RequestBodyRead");
  return {
    name: text(fields["name"], "name") ?? "attachment",
    contentType: text(fields["contentType"], "contentType") ?? "application/octet-stream",
    contentId: text(fields["contentId"], "contentId"),
    isInline: fields["isInline"] === true,
    content: Buffer.from(encoded, "base64"),
  };
}

function base64Lines(content: Buffer): string {
  const lines = content.toString("base64").match(new RegExp(`.{1,${LINE}}`, "g")) ?? [];
  return `${lines.join("\r\n")}\r\n`;
}

/** A value that must stay on its line. */
function oneLine(value: string): string {
  return value.replace(/[\r\n]+/g, " ");
}

/** The MIME that Exchange would send for it. */
export function composeMime(message: JsonMessage, mailbox: TenantMailbox, now: number): Buffer {
  const fields: string[] = [
    `From: ${message.from ?? `<${mailbox.address}>`}`,
    ...(message.sender === undefined ? [] : [`Sender: ${message.sender}`]),
    ...(message.to.length === 0 ? [] : [`To: ${message.to.join(",\r\n ")}`]),
    ...(message.cc.length === 0 ? [] : [`Cc: ${message.cc.join(",\r\n ")}`]),
    ...(message.bcc.length === 0 ? [] : [`Bcc: ${message.bcc.join(",\r\n ")}`]),
    ...(message.replyTo.length === 0 ? [] : [`Reply-To: ${message.replyTo.join(",\r\n ")}`]),
    `Subject: ${encodedWord(oneLine(message.subject))}`,
    `Date: ${new Date(now).toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: ${oneLine(message.internetMessageId ?? newUpstreamId())}`,
    ...message.headers.map(({ name, value }) => `${name}: ${encodedWord(value)}`),
    "MIME-Version: 1.0",
  ];
  const body = `Content-Type: text/${message.body.html ? "html" : "plain"}; charset="utf-8"\r\nContent-Transfer-Encoding: base64\r\n\r\n${base64Lines(Buffer.from(message.body.content))}`;
  if (message.attachments.length === 0) return Buffer.from(`${fields.join("\r\n")}\r\n${body}`);
  const boundary = `_${randomBytes(18).toString("hex")}_`;
  const parts: Buffer[] = [
    Buffer.from(`${fields.join("\r\n")}\r\nContent-Type: multipart/mixed; boundary="${boundary}"\r\n\r\n--${boundary}\r\n${body}`),
    ...message.attachments.map((attachment) => Buffer.from(`--${boundary}\r\n${attachmentPart(attachment)}`)),
    Buffer.from(`--${boundary}--\r\n`),
  ];
  return Buffer.concat(parts);
}

function attachmentPart({ name, contentType, contentId, isInline, content }: Attachment): string {
  const shown = encodedWord(oneLine(name)).replace(/["\\]/g, "_");
  const type = /^[\w.+-]+\/[\w.+-]+$/.test(contentType) ? contentType : "application/octet-stream";
  const fields = [
    `Content-Type: ${type}; name="${shown}"`,
    `Content-Disposition: ${isInline ? "inline" : "attachment"}; filename="${shown}"; size=${content.length}`,
    ...(contentId === undefined ? [] : [`Content-ID: <${oneLine(contentId).replace(/[<>]/g, "")}>`]),
    "Content-Transfer-Encoding: base64",
  ];
  return `${fields.join("\r\n")}\r\n\r\n${base64Lines(content)}`;
}
