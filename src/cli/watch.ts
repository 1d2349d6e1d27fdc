/** Keeps a picture on the terminal fresh until Ctrl-C. */
import { setTimeout as wait } from "node:timers/promises";
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

/** Lines are cut at the edge: a picture that wraps scrolls away. A terminal that was left like this would cut all that comes after. */
const CUT = "\u001b[?7l";
const UNCUT = "\u001b[?7h";

/** Draws until Ctrl-C or SIGTERM, which end the command at once, also where the relay does not answer just then. */
export async function watchUntilInterrupted(look: () => Promise<readonly string[]>, screen: Screen): Promise<void> {
  const end = (): void => {
    screen.write(UNCUT);
    process.exit(0);
  };
  process.once("SIGINT", end).once("SIGTERM", end);
  await watch(look, screen, () => wait(EVERY_MS, false));
}

/**
 * Draws what `look` gives, again and again; a relay that does not answer for a while is said so, and asked again.
 *
 * @param ended - waits for the next turn; true: it was the last
 */
export async function watch(look: () => Promise<readonly string[]>, screen: Screen, ended: () => Promise<boolean>): Promise<void> {
  screen.write(`${CUT}\u001b[2J`);
  try {
    do {
      const lines = await look().catch((error: unknown) => [`postern: ${describeError(error)}`]);
      const fitting = fit(lines, Math.max(1, screen.rows - 1));
      screen.write(`\u001b[H${fitting.map((line) => `${line}\u001b[K\n`).join("")}\u001b[J`);
    } while (!(await ended()));
  } finally {
    screen.write(UNCUT);
  }
}

/** What is too much for the terminal is counted on the last line. */
function fit(lines: readonly string[], most: number): readonly string[] {
  if (lines.length <= most) return lines;
  const shown = lines.slice(0, most - 1);
  return [...shown, `… ${lines.length - shown.length} more lines`];
}
