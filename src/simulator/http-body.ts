/** Reads the body of a request, up to a bound. */
import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";

/** The body; undefined when it is longer than `maxBytes`, and then the rest is not kept. */
export async function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size <= maxBytes) pieces.push(piece);
    else pieces.length = 0;
  }
  return size > maxBytes ? undefined : Buffer.concat(pieces);
}

/** The body as UTF-8; undefined when it is longer than `maxBytes`. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  return (await readBytes(request, maxBytes))?.toString("utf8");
}
