/** Edits a header section on its way in: what SMTP and Microsoft demand, and nothing else. All other octets stay as they are. */
import { canonicalAddress, isRoutable, splitAddress } from "../mail/address.ts";
import type { Reply } from "../mail/reply.ts";
import { changedFields, fieldOctets, headerFields, tellsOfSignature, unfoldedValue } from "../mime/fields.ts";
import type { FieldChange, HeaderField } from "../mime/fields.ts";
import { mailboxField, readMailboxes } from "../mime/mailboxes.ts";
import type { HeaderMailbox } from "../mime/mailboxes.ts";
import { decodeEncodedWords, decodeOctets, LONGEST_LINE, unstructured } from "../mime/words.ts";
import { judgeHeaderFrom } from "./policy.ts";
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
  /** A signature covers sender and content: neither is changed on the way out. */
  readonly signed: boolean;
  /** What we sent by ourselves has come back: nothing is ever reported about it. */
  readonly returned: boolean;
  readonly refusal: { readonly reply: Reply; readonly reason: string } | undefined;
}

/** Exchange believes these when they come from inside: nobody may bring their own. */
const TRUST_HEADERS = /^x-ms-exchange-(?:organization|crosspremises|crosstenant)-/;
const PRIVATE_HEADERS = new Set(["bcc", "resent-bcc", "return-path"]);

interface Survey {
  received: number;
  date: boolean;
  messageId: string | undefined;
  subject: string | undefined;
  signed: boolean;
  /** Carries our own loop header. */
  returned: boolean;
  readonly from: HeaderField[];
  /** Fields to drop, in order, with the word that says why. */
  readonly drop: { readonly field: HeaderField; readonly repair: string }[];
}

/**
 * Edits one header section.
 *
 * @param header - canonical lines without the empty one; a UUCP line is not among them
 * @param found - words of what was repaired before; the trace header names them beside our own
 */
export function editHeader(header: Buffer, facts: EditFacts, found: readonly string[] = []): EditedHeader {
  const survey = surveyHeader(header, facts);
  const repairs: string[] = [];
  const added: Buffer[] = [Buffer.from(`${facts.received}X-Postern-Id: ${facts.queueId}\r\n`, "latin1")];
  const drops = survey.drop.filter(({ field }) => field.name !== "content-length" || !survey.signed);
  const changes: FieldChange[] = drops.map(({ field }) => ({ field }));
  const from = repairFrom(header, survey, facts);
  const original = facts.originalSender ?? from.original;
  if (original !== undefined) added.push(fieldOctets("X-Postern-Original-Sender", original === "" ? "<>" : unstructured(original)));
  if (facts.originalSender !== undefined) repairs.push("sender-replaced");
  for (const { repair } of drops) if (!repairs.includes(repair)) repairs.push(repair);
  if (from.repair !== undefined) repairs.push(from.repair);
  if (from.field !== undefined) added.push(from.field);
  for (const field of from.dropped) changes.push({ field });
  if (!survey.date) {
    added.push(fieldOctets("Date", facts.date));
    repairs.push("date-added");
  }
  let messageId = survey.messageId;
  if (messageId === undefined) {
    messageId = `<${facts.queueId}@${facts.hostname}>`;
    added.push(fieldOctets("Message-ID", messageId));
    repairs.push("message-id-added");
  }
  const words = [...found, ...repairs];
  // Right below the lines that every mail gets; what is repaired in the body is only known once this has left.
  if (words.length > 0) added.splice(1, 0, fieldOctets("X-Postern-Repaired", words.join(", ")));
  const tooMany = survey.received > facts.receivedLimit;
  return {
    parts: [...added, ...changedFields(header, changes)],
    messageId,
    headerFrom: from.address,
    subject: survey.subject,
    repairs,
    signed: survey.signed,
    returned: survey.returned,
    refusal: tooMany ? { reply: TOO_MANY_HOPS, reason: "hops" } : from.refusal,
  };
}

const TOO_MANY_HOPS: Reply = { code: 554, enhanced: "5.4.6", text: "Too many hops, the mail seems to go round in a loop" };

function surveyHeader(header: Buffer, { wantSubject, hostname }: EditFacts): Survey {
  const survey: Survey = {
    received: 0,
    date: false,
    messageId: undefined,
    subject: undefined,
    signed: false,
    returned: false,
    from: [],
    drop: [],
  };
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
        else survey.messageId ??= (/<[^<>\s]+>/.exec(value)?.[0] ?? `<${value.replace(/[<>\s]+/g, "")}>`).slice(0, LONGEST_LINE);
        break;
      }
      case "from":
        survey.from.push(field);
        break;
      case "subject":
        if (wantSubject) survey.subject ??= decodeEncodedWords(unfoldedValue(header, field), 200);
        break;
      case "dkim-signature":
      case "content-type":
        if (tellsOfSignature(header, field)) survey.signed = true;
        break;
      case "x-postern-loop":
        if (unfoldedValue(header, field).toLowerCase() === hostname.toLowerCase()) survey.returned = true;
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
  readonly field: Buffer | undefined;
  readonly dropped: readonly HeaderField[];
  readonly repair: string | undefined;
  /** The address that stood there, where another took its place. */
  readonly original: string | undefined;
  readonly refusal: EditedHeader["refusal"];
}

/** From: must be there once, with one sender that Microsoft can take; a device's name for itself is kept as display name. */
function repairFrom(header: Buffer, survey: Survey, facts: EditFacts): FromVerdict {
  const own = facts.sender === "" ? facts.client.fallbackSender : facts.sender;
  const [first, ...others] = survey.from;
  const untouched = { field: undefined, dropped: [], repair: undefined, original: undefined };
  if (first === undefined) {
    return { ...untouched, address: own, field: mailboxField("From", "", own), repair: "from-added", refusal: undefined };
  }
  const mailboxes = mailboxesOf(header, first);
  const usable = mailboxes.filter((mailbox) => isUsable(mailbox, facts.domains));
  if (survey.signed) {
    // A signature covers From: what is wrong with it is for the sender to repair; policy is asked all the same, about all of them.
    const all = [...mailboxes, ...others.flatMap((field) => mailboxesOf(header, field))];
    return { ...untouched, address: usable.map(addressOf)[0], refusal: refusalOf(all.map(readableAddress), facts) };
  }
  if (mailboxes.length === 1 && usable.length === 1) {
    const repair = others.length > 0 ? "from-reduced" : undefined;
    const addresses = usable.map(addressOf);
    return { ...untouched, address: addresses[0], dropped: others, repair, refusal: refusalOf(addresses, facts) };
  }
  const best = usable[0];
  const display = best?.display ?? mailboxes.map(nameOf).find((name) => name !== "") ?? "";
  const address = best === undefined ? own : addressOf(best);
  return {
    address,
    field: mailboxField("From", display, address),
    dropped: survey.from,
    repair: survey.from.length > 1 || usable.length > 1 ? "from-reduced" : "from-repaired",
    original:
      best === undefined
        ? mailboxes
            .map(addressOf)
            .find((one) => one !== "")
            ?.slice(0, LONGEST_ADDRESS)
        : undefined,
    // The fallback is the administrator's own choice and needs no permission.
    refusal:
      best === undefined
        ? undefined
        : refusalOf(
            usable.map(addressOf).filter((one) => one !== own),
            facts,
          ),
  };
}

function mailboxesOf(header: Buffer, field: HeaderField): HeaderMailbox[] {
  return readMailboxes(unfoldedValue(header, field));
}

function addressOf(mailbox: HeaderMailbox): string {
  return canonicalAddress(decodeOctets(mailbox.address));
}

function refusalOf(addresses: readonly string[], { client, domains }: EditFacts): EditedHeader["refusal"] {
  const reply = judgeHeaderFrom(addresses, client, domains);
  return reply === undefined ? undefined : { reply, reason: "from" };
}

/** A local part by the grammar (RFC 5322 §3.4.1): in `a@x\\,b@y` a reader after us may find another address than we did. */
const LOCAL_PART = /^(?:"(?:[^"\\]|\\.)*"|[^\s()<>[\]:;@\\,"]+)$/s;
/** RFC 5321 §4.5.3.1.3 has 256; as much as the envelope may have. */
const LONGEST_ADDRESS = 320;

/** The address, without its domain where another might be read in it: then no rule about domains lets it pass. */
function readableAddress(mailbox: HeaderMailbox): string {
  const address = addressOf(mailbox);
  const { local } = splitAddress(address);
  return LOCAL_PART.test(local) ? address : local;
}

function isUsable(mailbox: HeaderMailbox, domains: Domains): boolean {
  const address = addressOf(mailbox);
  return address.length <= LONGEST_ADDRESS && LOCAL_PART.test(splitAddress(address).local) && isRoutable(address, domains.own);
}

/** What to show of a mailbox that has no usable address: its name, else the address's local part or what stood in its place. */
function nameOf(mailbox: HeaderMailbox): string {
  return mailbox.display !== "" ? mailbox.display : splitAddress(mailbox.address).local;
}
