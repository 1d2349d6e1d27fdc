/** What Exchange does with a message that Graph hands it: who may send, to whom it goes, which copy shows what. */
import { Buffer } from "node:buffer";

import type { Clock } from "../platform/clock.ts";
import { badRequest, graphFault } from "./graph-fault.ts";
import { addressesOf, headerValues, parseHeaders } from "./headers.ts";
import type { HeaderField } from "./headers.ts";
import type { UsageBook } from "./mailbox-usage.ts";
import { ContentBuffer } from "./mail-store.ts";
import type { MailStore, ReceivedMessage } from "./mail-store.ts";
import { newUpstreamId } from "./microsoft-names.ts";
import type { SimulatorEvent } from "./simulator-events.ts";
import { countForTenant, judgeTenant } from "./tenant-limits.ts";
import { isInside, maySendAs } from "./tenant.ts";
import type { Tenant, TenantMailbox } from "./tenant.ts";

const HEADER_END = Buffer.from("\r\n\r\n");

/** A message that has been read, but not yet sent. */
export interface OutgoingMail {
  readonly mailbox: TenantMailbox;
  /** Header block without its empty line, Bcc: included. */
  readonly headerBlock: Buffer;
  /** From the empty line on. */
  readonly rest: Buffer;
  readonly headers: readonly HeaderField[];
  readonly from: readonly string[];
  readonly recipients: readonly string[];
  readonly bcc: readonly string[];
}

/** How the request came. */
export interface Origin {
  readonly requestId: string;
  readonly remoteAddress: string;
  readonly tls: string;
  readonly userAgent: string;
  readonly saveToSentItems: boolean;
}

/** Reads a message as Exchange does: its header is its envelope. What is missing is put in. */
export function readMail(mime: Buffer, mailbox: TenantMailbox): OutgoingMail {
  const { headerBlock: given, rest } = split(mime);
  const fields = parseHeaders(given);
  const missing: string[] = [];
  if (headerValues(fields, "From").length === 0) missing.push(`From: <${mailbox.address}>`);
  if (headerValues(fields, "Message-ID").length === 0) missing.push(`Message-ID: ${newUpstreamId()}`);
  const headerBlock = missing.length === 0 ? given : Buffer.concat([Buffer.from(`${missing.join("\r\n")}\r\n`), given]);
  const headers = parseHeaders(headerBlock);
  const named = (name: string): string[] => headerValues(headers, name).flatMap(addressesOf);
  const bcc = named("Bcc");
  return {
    mailbox,
    headerBlock,
    rest,
    headers,
    from: named("From"),
    recipients: unique([...named("To"), ...named("Cc"), ...bcc]),
    bcc,
  };
}

/** The first reason not to take it. @throws GraphFault */
export function judgeMail(tenant: Tenant, mail: OutgoingMail, book: UsageBook, now: number): void {
  const { mailbox, recipients, from } = mail;
  const usage = book.of(mailbox);
  const size = mail.headerBlock.length + mail.rest.length;
  if (recipients.length === 0) throw graphFault("graph-invalid-recipients");
  const wrong = recipients.find(
    (recipient) => !/^[^\s@<>()",;:]+@[^\s@<>()",;:]+$/.test(recipient) && !/^"[^"]*"@[^\s@]+$/.test(recipient),
  );
  if (wrong !== undefined) {
    throw badRequest(
      `At least one recipient is not valid., Recipient '${wrong}' is not resolved. All recipients must be resolved before a message can be submitted.`,
      "ErrorInvalidRecipients",
    );
  }
  if (recipients.length > mailbox.limits.recipientsPerMessage)
    throw badRequest("At least one recipient is not valid., The number of recipients is over the limit.", "ErrorInvalidRecipients");
  const senders = [...from, ...headerValues(mail.headers, "Sender").flatMap(addressesOf)];
  if (from.length === 0 || senders.some((address) => !maySendAs(mailbox, address))) throw graphFault("graph-send-as-denied");
  if (size > mailbox.limits.maxSendSizeBytes) throw graphFault("graph-size-exceeded");
  if (usage.recipientsOfDay(now) + recipients.length > mailbox.limits.recipientsPerDay) throw graphFault("graph-daily-limit");
  // By SMTP these limits have words of their own; Graph has one error for all of them.
  if (judgeTenant(tenant, book, from[0] ?? "", recipients, now) !== undefined) throw graphFault("graph-daily-limit");
}

/** What sending works with. */
export interface SendContext {
  readonly tenant: Tenant;
  readonly store: MailStore;
  readonly usage: UsageBook;
  readonly clock: Clock;
  readonly emit: (event: SimulatorEvent) => void;
}

/** Sends it: the copies of the recipients lose Bcc:, the one in Sent Items keeps it. */
export function sendMail(context: SendContext, mail: OutgoingMail, origin: Origin): ReceivedMessage {
  const { tenant, store, usage, clock, emit } = context;
  const { mailbox, recipients } = mail;
  const now = clock.now();
  usage.of(mailbox).countRecipients(now, recipients.length);
  countForTenant(tenant, usage, mail.from[0] ?? mailbox.address, recipients, now);
  const content = new ContentBuffer(store);
  content.add(withoutBcc(mail.headerBlock));
  content.add(mail.rest);
  const message = store.add(
    {
      door: "graph",
      receivedAt: now,
      deliveredAt: now,
      throttled: false,
      mailbox: mailbox.address,
      method: "Bearer",
      tls: origin.tls,
      helo: origin.userAgent,
      remoteAddress: origin.remoteAddress,
      reversePath: mail.from[0] ?? mailbox.address,
      recipients,
      internal: recipients.filter((recipient) => isInside(tenant, recipient)),
      external: recipients.filter((recipient) => !isInside(tenant, recipient)),
      mailParameters: [],
      upstreamId: origin.requestId,
      inSentItems: origin.saveToSentItems,
      bcc: mail.bcc,
    },
    content,
  );
  emit({ type: "message.received", message });
  return message;
}

/** Cuts at the empty line; both parts together are the whole content. */
function split(mime: Buffer): { headerBlock: Buffer; rest: Buffer } {
  if (mime.subarray(0, 2).toString("latin1") === "\r\n") return { headerBlock: Buffer.alloc(0), rest: mime };
  const at = mime.indexOf(HEADER_END);
  if (at < 0) return { headerBlock: mime, rest: Buffer.alloc(0) };
  return { headerBlock: mime.subarray(0, at + 2), rest: mime.subarray(at + 2) };
}

/** The header block without Bcc: and its folded lines. */
export function withoutBcc(block: Buffer): Buffer {
  let inside = false;
  const kept = block
    .toString("latin1")
    .split(/(?<=\n)/)
    .filter((line) => {
      if (!/^[ \t]/.test(line)) inside = /^bcc[ \t]*:/i.test(line);
      return !inside;
    });
  return Buffer.from(kept.join(""), "latin1");
}

function unique(addresses: readonly string[]): string[] {
  return [...new Map(addresses.map((address) => [address.toLowerCase(), address])).values()];
}
