/** What a command prints when it is run in this process. */
import { vi } from "vitest";
import { overhear } from "./canaries/canaries.ts";

export interface Printed {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command; nothing of it reaches the terminal. Not for two at once. */
export async function printed(run: () => Promise<number>): Promise<Printed> {
  let out = "";
  let err = "";
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation((text) => ((out += String(text)), true)),
    vi.spyOn(process.stderr, "write").mockImplementation((text) => ((err += String(text)), true)),
  ];
  try {
    const code = await run();
    overhear("what a command printed", out + err);
    return { code, out, err };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
