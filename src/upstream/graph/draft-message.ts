/**
 * A message too large for MIME, planned as a draft with attachments: the way Graph takes mail up to 150 MB an attachment.
 *
 * A draft is not the message but a copy made from its parts. Only what comes through that unharmed is planned: one text, or a text and its HTML,
 * and files. What is signed, encrypted or built in another way is left to another door.
 */
import { addressEntries, parseAddressList } from "../../mime/addresses.ts";
import { tellsOfSignature } from "../../mime/fields.ts";
import type { HeaderBlock, MessageContent } from "../../mime/header-block.ts";
import { readMailboxes } from "../../mime/mailboxes.ts";
import { readParameterField } from "../../mime/parameters.ts";
import { leafParts, PlaceReader } from "../../mime/parts.ts";
import type { LeafPart } from "../../mime/parts.ts";
import { transferDecoder } from "../../mime/transfer-decoding.ts";
import { decodeEncodedWords } from "../../mime/words.ts";

/** A file of the draft. */
export interface DraftFile {
  readonly name: string;
  readonly contentType: string;
  /** Decoded. */
  readonly sizeBytes: number;
  readonly isInline: boolean;
  readonly contentId: string | undefined;
  readonly part: LeafPart;
}

/** What is to be made. */
export interface DraftPlan {
  /** The JSON of the message without its files. */
  readonly message: object;
  readonly files: readonly DraftFile[];
}

/** Text that goes into the request that makes the draft; with JSON's escapes it must stay under 4 MB. */
const MOST_TEXT_OCTETS = 1024 * 1024;
const MOST_SUBJECT = 255;
/** Graph takes at most five own header fields, and only X- ones. */
const MOST_OWN_FIELDS = 5;
const LONGEST_OWN_VALUE = 900;

/**
 * Plans a draft.
 *
 * @param header - of the message, its recipients already those of the delivery
 * @returns words for why the message cannot be rebuilt, or the plan
 * @throws what reading the content throws
 */
export async function planDraft(header: HeaderBlock, content: MessageContent): Promise<DraftPlan | string> {
  if (header.fields.some((field) => tellsOfSignature(header.octets, field))) return "it is signed";
  const leaves = await leafParts(content);
  if (leaves === undefined || leaves.length === 0) return "its structure cannot be read";
  const odd = leaves.flatMap(({ within }) => within).find((type) => !PLAIN_MULTIPARTS.has(type));
  if (odd !== undefined) return `it is built as ${odd}`;
  const texts = leaves.filter(isText);
  const body = texts.length <= 1 ? texts[0] : alternativeOf(texts);
  if (body === undefined && texts.length > 0) return "it has several texts";
  const rest = leaves.filter((leaf) => !texts.includes(leaf));
  const unfit = rest.find((leaf) => leaf.contentType.value.startsWith("message/") || leaf.within.at(-1) === "multipart/alternative");
  if (unfit !== undefined) return `it holds a part of type ${unfit.contentType.value}`;

  let text = { contentType: "text", content: "" };
  if (body !== undefined) {
    const read = await readText(body, content);
    if (read === undefined) return "its text is too long, or in an unknown character set or encoding";
    text = { contentType: body.contentType.value === "text/html" ? "html" : "text", content: read };
  }
  const files: DraftFile[] = [];
  const reader = new PlaceReader(content);
  try {
    for (const part of rest) {
      let sizeBytes = 0;
      for await (const octets of decoded(part, reader) ?? []) sizeBytes += octets.length;
      if (decoderOf(part) === undefined) return "an attachment has an unknown encoding";
      files.push({ ...describe(part, files.length + 1), sizeBytes, part });
    }
  } finally {
    await reader.close();
  }
  return { message: messageOf(header, text), files };
}

const PLAIN_MULTIPARTS: ReadonlySet<string> = new Set(["multipart/mixed", "multipart/alternative", "multipart/related"]);

function valueOf(header: HeaderBlock, name: string): string {
  const field = header.named(name)[0];
  return field === undefined ? "" : header.valueOf(field);
}

function isText({ header, contentType }: LeafPart): boolean {
  if (contentType.value !== "text/plain" && contentType.value !== "text/html") return false;
  const disposition = readParameterField(valueOf(header, "content-disposition"));
  return disposition.value !== "attachment" && !disposition.parameters.has("filename") && !contentType.parameters.has("name");
}

/** Of a plain text and its HTML the HTML, as every reader would choose; undefined where they are not two forms of one text. */
function alternativeOf(texts: readonly LeafPart[]): LeafPart | undefined {
  const [first, second] = texts;
  const isPair =
    texts.length === 2 &&
    first?.contentType.value === "text/plain" &&
    second?.contentType.value === "text/html" &&
    first.within.at(-1) === "multipart/alternative" &&
    second.within.includes("multipart/alternative");
  return isPair ? second : undefined;
}

function decoderOf({ header }: LeafPart): ReturnType<typeof transferDecoder> {
  return transferDecoder(valueOf(header, "content-transfer-encoding"));
}

/** A part's octets without their transfer encoding; undefined for one that is unknown. */
export function decoded(part: LeafPart, reader: PlaceReader): AsyncGenerator<Buffer> | undefined {
  const decoder = decoderOf(part);
  if (decoder === undefined) return undefined;
  return (async function* () {
    for await (const octets of reader.read(part.start, part.end)) yield decoder.push(octets);
    yield decoder.end();
  })();
}

async function readText(part: LeafPart, content: MessageContent): Promise<string | undefined> {
  const reader = new PlaceReader(content);
  try {
    const pieces: Buffer[] = [];
    let size = 0;
    const octets = decoded(part, reader);
    if (octets === undefined) return undefined;
    for await (const piece of octets) {
      size += piece.length;
      if (size > MOST_TEXT_OCTETS) return undefined;
      pieces.push(Buffer.from(piece));
    }
    // What declares no character set is ASCII; windows-1252 reads that and what devices send in its place.
    const charset = part.contentType.parameters.get("charset") ?? "utf-8";
    return new TextDecoder(/^us-ascii$/i.test(charset) ? "windows-1252" : charset).decode(Buffer.concat(pieces));
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  } finally {
    await reader.close();
  }
}

function describe({ header, contentType }: LeafPart, number: number): Omit<DraftFile, "sizeBytes" | "part"> {
  const disposition = readParameterField(valueOf(header, "content-disposition"));
  const given = disposition.parameters.get("filename") ?? contentType.parameters.get("name") ?? "";
  const name = given
    .replace(/[\u0000-\u001f\u007f/\\]+/g, "_")
    .slice(0, 200)
    .trim();
  const contentId = /<([^<>\s]+)>/.exec(valueOf(header, "content-id"))?.[1];
  return {
    name: name === "" ? `attachment-${number}` : name,
    contentType: /^[\w.+-]+\/[\w.+-]+$/.test(contentType.value) ? contentType.value : "application/octet-stream",
    isInline: contentId !== undefined && disposition.value !== "attachment",
    contentId,
  };
}

interface Person {
  readonly emailAddress: { readonly name?: string; readonly address: string };
}

function people(header: HeaderBlock, name: string): Person[] {
  const entries = header
    .named(name)
    .flatMap((field) => addressEntries(parseAddressList(header.octets.toString("latin1", field.valueStart, field.end))));
  return entries.flatMap((entry): Person[] => {
    const [address] = entry.addresses;
    if (entry.kind !== "mailbox" || address === undefined) return [];
    const display = decodeEncodedWords(readMailboxes(entry.text.replace(/\r\n(?=[ \t])/g, ""))[0]?.display ?? "", 200).trim();
    return [{ emailAddress: display === "" ? { address } : { name: display, address } }];
  });
}

function messageOf(header: HeaderBlock, body: object): object {
  const from = people(header, "from")[0];
  const messageId = /<[^<>\s]+>/.exec(valueOf(header, "message-id"))?.[0];
  const replyTo = people(header, "reply-to");
  return {
    subject: decodeEncodedWords(valueOf(header, "subject"), MOST_SUBJECT),
    body,
    ...(from === undefined ? {} : { from }),
    toRecipients: people(header, "to"),
    ccRecipients: people(header, "cc"),
    bccRecipients: people(header, "bcc"),
    ...(replyTo.length === 0 ? {} : { replyTo }),
    ...(messageId === undefined ? {} : { internetMessageId: messageId }),
    ...importanceOf(header),
    internetMessageHeaders: ownFields(header),
  };
}

function importanceOf(header: HeaderBlock): { importance?: "low" | "high" } {
  const said = `${valueOf(header, "importance")} ${valueOf(header, "x-priority")}`.trim();
  if (/^(high|[12])\b/i.test(said)) return { importance: "high" };
  return /^(low|[45])\b/i.test(said) ? { importance: "low" } : {};
}

/** Our own first: X-Postern-Id is how the copy is known again. */
function ownFields(header: HeaderBlock): { name: string; value: string }[] {
  const own = header.fields.filter(({ name }) => name.startsWith("x-"));
  const first = own.filter(({ name }) => name.startsWith("x-postern-"));
  return [...first, ...own.filter((field) => !first.includes(field))]
    .map((field) => ({
      name: header.octets.toString("latin1", field.start, field.start + field.name.length),
      value: header.valueOf(field),
    }))
    .filter(({ value }) => value !== "" && value.length <= LONGEST_OWN_VALUE && /^[ -~]+$/.test(value))
    .slice(0, MOST_OWN_FIELDS);
}
