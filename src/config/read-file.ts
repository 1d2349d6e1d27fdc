/** Reading files that somebody else made: never more than expected. */
import { isUtf8 } from "node:buffer";
import { open } from "node:fs/promises";

/** Larger configurations are refused: nobody writes one, and parsing takes memory. */
const MOST_CONFIG_OCTETS = 2 ** 20;

/** The text of a configuration file; or why there is none, as the end of a sentence about it. Never rejects. */
export async function readConfigText(path: string): Promise<{ readonly text: string } | { readonly fault: string }> {
  try {
    const octets = await readBounded(path, MOST_CONFIG_OCTETS);
    return isUtf8(octets) ? { text: octets.toString("utf8") } : { fault: "is not UTF-8 text" };
  } catch (error) {
    const hint =
      error instanceof Error && "code" in error && error.code === "ENOENT" ? ": postern setup writes one, --config FILE names another" : "";
    return { fault: `${readFault(error)}${hint}` };
  }
}

/**
 * The octets of a file.
 *
 * @param most - longest content in octets
 * @throws RangeError `is larger than …` beyond that; else what the file system says
 */
export async function readBounded(path: string, most: number): Promise<Buffer> {
  await using file = await open(path, "r");
  const blocks: Buffer[] = [];
  let length = 0;
  for (;;) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(most + 1 - length, 64 * 1024)));
    if (bytesRead === 0) return Buffer.concat(blocks, length);
    blocks.push(buffer.subarray(0, bytesRead));
    length += bytesRead;
    if (length > most) throw new RangeError(`is larger than ${most / 1024} KiB`);
  }
}

/** Why a file could not be read, as the end of a sentence about it. */
export function readFault(error: unknown): string {
  if (error instanceof RangeError) return error.message;
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === "ENOENT" || code === "ENOTDIR") return "does not exist";
  if (code === "EACCES" || code === "EPERM") return "cannot be read: permission denied";
  if (code === "EISDIR") return "is a folder";
  return `cannot be read: ${code ?? "unknown error"}`;
}
