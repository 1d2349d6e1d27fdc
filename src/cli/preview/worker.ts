/**
 * The thread that parses a message for a preview. It asks for octets when it has room for them, and says what it finds when it finds it: its end
 * may be anywhere.
 */
import { parentPort, workerData } from "node:worker_threads";
import { MailParser } from "mailparser";
import type { StreamedAttachment, StreamedText } from "mailparser";
import { describeError } from "../../mail/errors.ts";
import type { HeaderBlock } from "../../mime/header-block.ts";
import { HeaderTaker } from "./header-taker.ts";
import { shownFields } from "./shown-fields.ts";
import type { Found, Heard, Job, PreviewAttachment } from "./protocol.ts";

const MOST_NAME = 200;
const MOST_TYPE = 100;
/** Octets handed to the parser at a time, so that an end that was said is heard in between. */
const PIECE_OCTETS = 64 * 1024;
/** What the parser has to know of the header. It is not asked for the rest: decoding that is ours. */
const STRUCTURE = new Set(["content-type", "content-transfer-encoding", "content-disposition", "mime-version"]);

const port = parentPort;
if (port === null) throw new Error("this file is started as a worker thread");
const { fields, valueCharacters, textCharacters } = workerData as Job;

function say(found: Found): void {
  port?.postMessage(found);
}

const parser = new MailParser({ skipHtmlToText: true, skipTextToHtml: true, skipImageLinks: true, skipTextLinks: true });
const taker = new HeaderTaker();
let headerTold = false;
/** Said with the end of the octets: whether the message ends there as well. */
let isWhole = true;

/** Of a part that is over, but was not followed by another one yet. */
let lastAttachment: PreviewAttachment | undefined;

function tellAttachment(part: StreamedAttachment): void {
  const { filename, contentType, content } = part;
  tellLastAttachment(true);
  let sizeBytes = 0;
  content.on("data", (octets: Buffer) => (sizeBytes += octets.length));
  content.on("error", () => part.release());
  content.on("end", () => {
    const name = filename === undefined ? {} : { name: filename.slice(0, MOST_NAME) };
    const type = contentType === undefined || contentType === false ? "application/octet-stream" : contentType.slice(0, MOST_TYPE);
    lastAttachment = { ...name, type, sizeBytes, complete: true };
    part.release();
  });
}

function tellLastAttachment(complete: boolean): void {
  if (lastAttachment !== undefined) say({ say: "attachment", attachment: { ...lastAttachment, complete } });
  lastAttachment = undefined;
}

function tellText({ text, html }: StreamedText): void {
  tellLastAttachment(isWhole);
  const plain = text === undefined || text === "" ? undefined : text;
  const isCut = plain !== undefined && plain.length > textCharacters;
  say({ say: "text", text: plain?.slice(0, textCharacters), htmlCharacters: html?.length, isCut });
}

function tellHeader(header: HeaderBlock): void {
  headerTold = true;
  const { headers, cut } = shownFields(header, fields, valueCharacters);
  say({ say: "header", headers, cut: taker.isCut ? [...cut, "the header is too long to be looked at to its end"] : cut });
  for (const field of header.fields) if (STRUCTURE.has(field.name)) parser.write(header.octets.subarray(field.start, field.end));
  parser.write(Buffer.from("\r\n"));
}

/** Hands octets to the parser, and resolves when it has room for more. */
async function parse(octets: Buffer): Promise<void> {
  for (let at = 0; at < octets.length; at += PIECE_OCTETS)
    if (!parser.write(octets.subarray(at, at + PIECE_OCTETS))) await new Promise<void>((resolve) => parser.once("drain", resolve));
}

async function hear(heard: Heard): Promise<void> {
  if (heard.say === "end") {
    isWhole = heard.isWhole;
    if (!headerTold) tellHeader(taker.end());
    parser.end();
    return;
  }
  const { octets } = heard;
  const body = taker.push(Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength));
  if (taker.header !== undefined && !headerTold) tellHeader(taker.header);
  await parse(body);
  say({ say: "more" });
}

/** The parser's bounds in words. */
function explain(error: Error): string {
  if ((error as NodeJS.ErrnoException).code !== "EMAXLEN") return `it cannot be parsed to its end: ${describeError(error)}`;
  return /child nodes/.test(error.message)
    ? "it has more than 1000 parts, which are not looked at to the end"
    : "the header of a part is longer than 1 MiB; what follows is not looked at";
}

parser.on("data", (piece) => (piece.type === "attachment" ? tellAttachment(piece) : tellText(piece)));
parser.on("error", (error) => say({ say: "fault", cut: explain(error) }));
parser.on("end", () => say({ say: "done" }));
port.on("message", (heard: Heard) => {
  hear(heard).catch((error: unknown) => say({ say: "fault", cut: `it cannot be parsed: ${describeError(error)}` }));
});
say({ say: "more" });
