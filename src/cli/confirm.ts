/** Asks somebody at a terminal whether they mean it. */
import { createInterface } from "node:readline/promises";
import type { Readable, Writable } from "node:stream";

/** True for y or yes; anything else is no, and so are Ctrl-C and Ctrl-D. */
export async function saysYes(question: string, input: Readable = process.stdin, output: Writable = process.stderr): Promise<boolean> {
  const terminal = createInterface({ input, output, terminal: true });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } catch (error) {
    if (error instanceof Error && error.name === "AbortError") return false;
    throw error;
  } finally {
    terminal.close();
  }
}
