/** The numbered messages of the harnesses, and what can be read back from one that was delivered. */
import { createHash } from "node:crypto";
import { PAGE } from "../support/canaries/canaries.ts";
import type { Random } from "./random.ts";

/** One message to submit. Its content is a function of its number and the seed. */
export interface TestMessage {
  readonly messageId: string;
  readonly content: Buffer;
}

/** @param bodyBytes - default mostly a few KB; one in twenty is larger than two content rows of the queue */
export function makeMessage(number: number, random: Random, bodyBytes = someSize(random)): TestMessage {
  const messageId = `<page-${number}@plant.example>`;
  const lines = [PAGE];
  for (let size = 0; size < bodyBytes; size += 76) lines.push(random.letters(74));
  const body = `${lines.join("\r\n")}\r\n`;
  const header = [
    "From: Scanner <scanner@plant.example>",
    "To: office@next.example",
    `Subject: page ${number}`,
    `Message-ID: ${messageId}`,
    "Date: Mon, 02 Nov 2026 08:00:00 +0000",
    `X-Body-Sha256: ${sha256(body)}`,
  ];
  return { messageId, content: Buffer.from(`${header.join("\r\n")}\r\n\r\n${body}`, "latin1") };
}

function someSize(random: Random): number {
  return random.chance(0.05) ? random.between(520_000, 700_000) : random.between(200, 12_000);
}

/** What the next hop got. */
export interface Delivery {
  readonly messageId: string;
  /** Postern's own id of the message; empty when the header is missing. */
  readonly posternId: string;
  /** The body is the one that was submitted, octet for octet. */
  readonly intact: boolean;
}

export function readDelivery(content: Buffer): Delivery {
  const end = content.indexOf("\r\n\r\n");
  const header = content.toString("latin1", 0, end);
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, "im").exec(header)?.[1]?.trim() ?? "";
  const body = content.subarray(end + 4);
  return { messageId: field("Message-ID"), posternId: field("X-Postern-Id"), intact: sha256(body) === field("X-Body-Sha256") };
}

function sha256(octets: string | Buffer): string {
  return createHash("sha256").update(octets).digest("hex");
}
