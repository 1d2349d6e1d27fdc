/** Keeps a picture on the terminal fresh until Ctrl-C. */
import { describeError, PosternError } from "../mail/errors.ts";

const EVERY_MS = 2_000;

/** What is drawn on. */
export interface Screen {
  readonly rows: number;
  write(text: string): void;
}

/** @throws PosternError E_USAGE where standard output is no terminal */
export function terminalScreen(json: boolean): Screen {
  if (json || !process.stdout.isTTY) throw new PosternError("E_USAGE", "--watch draws on a terminal; elsewhere ask again, with --json");
  return {
    get rows() {
      return process.stdout.rows;
    },
    write: (text) => void process.stdout.write(text),
  };
}

/** Resolves after 2 s, or at Ctrl-C with `true`. */
export function pause(): Promise<boolean> {
  return new Promise((resolve) => {
    const stop = (): void => {
      clearTimeout(timer);
      resolve(true);
    };
    const timer = setTimeout(() => {
      process.off("SIGINT", stop);
      resolve(false);
    }, EVERY_MS);
    process.once("SIGINT", stop);
  });
}

/**
 * Draws what `look` gives, again and again; a relay that does not answer for a while is said so, and asked again.
 *
 * @param ended - waits for the next turn; true: it was the last
 */
export async function watch(look: () => Promise<readonly string[]>, screen: Screen, ended: () => Promise<boolean>): Promise<void> {
  // Long lines are cut at the edge: a picture that wraps scrolls away.
  screen.write("\u001b[?7l\u001b[2J");
  try {
    do {
      const lines = await look().catch((error: unknown) => [`postern: ${describeError(error)}`]);
      const fitting = fit(lines, Math.max(1, screen.rows - 1));
      screen.write(`\u001b[H${fitting.map((line) => `${line}\u001b[K\n`).join("")}\u001b[J`);
    } while (!(await ended()));
  } finally {
    screen.write("\u001b[?7h");
  }
}

/** What is too much for the terminal is counted on the last line. */
function fit(lines: readonly string[], most: number): readonly string[] {
  if (lines.length <= most) return lines;
  const shown = lines.slice(0, most - 1);
  return [...shown, `… ${lines.length - shown.length} more lines`];
}
