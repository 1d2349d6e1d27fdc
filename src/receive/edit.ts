/** Edits a header section on its way in: what SMTP and Microsoft demand, and nothing else. All other octets stay as they are. */
import { canonicalAddress, splitAddress } from "../mail/address.ts";
import type { Reply } from "../mail/reply.ts";
import { decodeEncodedWords, decodeOctets, headerFields, unfoldedValue } from "./headers.ts";
import type { HeaderField } from "./headers.ts";
import { formatDisplay, readMailboxes } from "./mailboxes.ts";
import type { HeaderMailbox } from "./mailboxes.ts";
import { isUnusableDomain, judgeHeaderFrom } from "./policy.ts";
import type { ClientPolicy, Domains } from "./policy.ts";

/** What the editor needs to know of the session and the envelope. */
export interface EditFacts {
  readonly queueId: string;
  readonly hostname: string;
  /** The complete Received field of this hop. */
  readonly received: string;
  /** RFC 5322 date, for mail without one. */
  readonly date: string;
  /** The envelope's sender after policy; the empty string for `<>`. */
  readonly sender: string;
  /** What the device gave, where policy replaced it. */
  readonly originalSender: string | undefined;
  readonly client: ClientPolicy;
  readonly domains: Domains;
  readonly receivedLimit: number;
  readonly wantSubject: boolean;
}

/** The edited section, or why the message is refused. */
export interface EditedHeader {
  /** Octets to store, in order, up to and without the empty line. */
  readonly parts: readonly Buffer[];
  readonly messageId: string;
  readonly headerFrom: string | undefined;
  readonly subject: string | undefined;
  readonly repairs: readonly string[];
  readonly refusal: { readonly reply: Reply; readonly reason: string } | undefined;
}

/** Exchange believes these when they come from inside: nobody may bring their own. */
const TRUST_HEADERS = /^x-ms-exchange-(?:organization|crosspremises|crosstenant)-/;
const PRIVATE_HEADERS = new Set(["bcc", "resent-bcc", "return-path"]);
const SIGNED_CONTENT = /^(?:multipart\/signed|application\/(?:x-)?pkcs7-mime)/i;

interface Survey {
  received: number;
  date: boolean;
  messageId: string | undefined;
  subject: string | undefined;
  signed: boolean;
  readonly from: HeaderField[];
  /** Fields to drop, in order, with the word that says why. */
  readonly drop: { readonly field: HeaderField; readonly repair: string }[];
}

/**
 * Edits one header section.
 *
 * @param header - canonical lines without the empty one; a UUCP line is not among them
 */
export function editHeader(header: Buffer, facts: EditFacts): EditedHeader {
  const survey = surveyHeader(header, facts.wantSubject);
  const repairs: string[] = [];
  const added = [facts.received, `X-Postern-Id: ${facts.queueId}\r\n`];
  if (facts.originalSender !== undefined) {
    added.push(`X-Postern-Original-Sender: ${traceValue(facts.originalSender)}\r\n`);
    repairs.push("sender-replaced");
  }
  const drops = survey.drop.filter(({ field }) => field.name !== "content-length" || !survey.signed);
  for (const { repair } of drops) if (!repairs.includes(repair)) repairs.push(repair);
  const dropped = drops.map(({ field }) => field);
  const from = repairFrom(header, survey, facts);
  if (from.repair !== undefined) repairs.push(from.repair);
  if (from.field !== undefined) added.push(from.field);
  dropped.push(...from.dropped);
  if (!survey.date) {
    added.push(`Date: ${facts.date}\r\n`);
    repairs.push("date-added");
  }
  let messageId = survey.messageId;
  if (messageId === undefined) {
    messageId = `<${facts.queueId}@${facts.hostname}>`;
    added.push(`Message-ID: ${messageId}\r\n`);
    repairs.push("message-id-added");
  }
  const tooMany = survey.received > facts.receivedLimit;
  return {
    parts: [Buffer.from(added.join(""), "latin1"), ...without(header, dropped)],
    messageId,
    headerFrom: from.address,
    subject: survey.subject,
    repairs,
    refusal: tooMany ? { reply: TOO_MANY_HOPS, reason: "hops" } : from.refusal,
  };
}

const TOO_MANY_HOPS: Reply = { code: 554, enhanced: "5.4.6", text: "Too many hops, the mail seems to go round in a loop" };

function surveyHeader(header: Buffer, wantSubject: boolean): Survey {
  const survey: Survey = { received: 0, date: false, messageId: undefined, subject: undefined, signed: false, from: [], drop: [] };
  for (const field of headerFields(header)) {
    switch (field.name) {
      case "received":
        survey.received += 1;
        break;
      case "date":
        survey.date = true;
        break;
      case "message-id": {
        const value = unfoldedValue(header, field);
        if (value === "") survey.drop.push({ field, repair: "message-id-empty" });
        else survey.messageId ??= /<[^<>\s]+>/.exec(value)?.[0] ?? `<${value.replace(/[<>\s]+/g, "")}>`;
        break;
      }
      case "from":
        survey.from.push(field);
        break;
      case "subject":
        if (wantSubject) survey.subject ??= decodeEncodedWords(unfoldedValue(header, field), 200);
        break;
      case "dkim-signature":
        survey.signed = true;
        break;
      case "content-type":
        if (SIGNED_CONTENT.test(unfoldedValue(header, field))) survey.signed = true;
        break;
      case "content-length":
        survey.drop.push({ field, repair: "content-length-removed" });
        break;
      default:
        if (PRIVATE_HEADERS.has(field.name)) survey.drop.push({ field, repair: `${field.name}-removed` });
        else if (TRUST_HEADERS.test(field.name)) survey.drop.push({ field, repair: "exchange-header-removed" });
    }
  }
  return survey;
}

interface FromVerdict {
  readonly address: string | undefined;
  /** A field to add in place of those dropped. */
  readonly field: string | undefined;
  readonly dropped: readonly HeaderField[];
  readonly repair: string | undefined;
  readonly refusal: EditedHeader["refusal"];
}

/** From: must be there once and name a sender that Microsoft can take; a device's name for itself is kept as display name. */
function repairFrom(header: Buffer, survey: Survey, facts: EditFacts): FromVerdict {
  const own = facts.sender === "" ? facts.client.fallbackSender : facts.sender;
  const first = survey.from[0];
  if (first === undefined) {
    return { address: own, field: fromField("", own), dropped: [], repair: "from-added", refusal: undefined };
  }
  const mailboxes = readMailboxes(unfoldedValue(header, first));
  const usable = mailboxes.filter((mailbox) => isUsable(mailbox, facts.domains));
  const addresses = usable.map((mailbox) => canonicalAddress(decodeOctets(mailbox.address)));
  // A signature covers From: what is wrong with it is for the sender to repair; policy is asked all the same.
  if (survey.signed || (usable.length === mailboxes.length && usable.length > 0)) {
    const reply = judgeHeaderFrom(
      survey.signed ? mailboxes.map(({ address }) => canonicalAddress(decodeOctets(address))) : addresses,
      facts.client,
      facts.domains,
    );
    const several = !survey.signed && survey.from.length > 1;
    return {
      address: addresses[0],
      field: undefined,
      dropped: several ? survey.from.slice(1) : [],
      repair: several ? "from-reduced" : undefined,
      refusal: reply === undefined ? undefined : { reply, reason: "from" },
    };
  }
  const best = usable[0];
  const display = best?.display ?? mailboxes.map(nameOf).find((name) => name !== "") ?? "";
  const address = addresses[0] ?? own;
  const reply = judgeHeaderFrom([address], facts.client, facts.domains);
  return {
    address,
    field: fromField(display, address),
    dropped: survey.from,
    repair: survey.from.length > 1 ? "from-reduced" : "from-repaired",
    // The fallback is the administrator's own choice and needs no permission.
    refusal: reply === undefined || address === own ? undefined : { reply, reason: "from" },
  };
}

function isUsable(mailbox: HeaderMailbox, domains: Domains): boolean {
  const { local, domain } = splitAddress(canonicalAddress(decodeOctets(mailbox.address)));
  return local !== "" && /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$/.test(domain) && !isUnusableDomain(domain, domains.own);
}

/** What to show of a mailbox that has no usable address: its name, else the address's local part or what stood in its place. */
function nameOf(mailbox: HeaderMailbox): string {
  return mailbox.display !== "" ? mailbox.display : splitAddress(mailbox.address).local;
}

function fromField(display: string, address: string): string {
  const shown = formatDisplay(display);
  const octets = Buffer.from(address, "utf8").toString("latin1");
  return shown === "" ? `From: ${octets}\r\n` : `From: ${shown} <${octets}>\r\n`;
}

/** A value from the network in a trace field: ASCII as it is, anything else as an encoded word. */
function traceValue(text: string): string {
  if (text === "") return "<>";
  if (/^[\u0021-\u007e]+$/.test(text)) return text;
  return `=?UTF-8?B?${Buffer.from(text, "utf8").toString("base64")}?=`;
}

/** The octets of `header` without some of its fields. */
function without(header: Buffer, fields: readonly HeaderField[]): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  for (const field of fields.toSorted((a, b) => a.start - b.start)) {
    if (field.start > start) parts.push(header.subarray(start, field.start));
    start = field.end;
  }
  if (start < header.length) parts.push(header.subarray(start));
  return parts;
}
