/**
 * Whether the program's files are still those that this process was started from. What it has not loaded yet is of another version once they were
 * replaced, or not there: file names change with what is in them.
 */
import { statSync } from "node:fs";

/** What is the matter then, and what to do. */
export const PROGRAM_REPLACED = {
  text: "the program's files were replaced while the relay runs, which is still the version before",
  remedy: "Restart it (systemctl restart postern): deliveries under way are finished first, and mail that waits stays",
} as const;

/** @returns whether the file is another one by now, or gone */
export function watchFile(path: string): () => boolean {
  const before = identityOf(path);
  return () => identityOf(path) !== before;
}

/** One file stands for all: they are replaced together. */
export const isProgramReplaced = watchFile(import.meta.filename);

function identityOf(path: string): string {
  const entry = statSync(path, { throwIfNoEntry: false });
  return entry === undefined ? "" : `${entry.dev} ${entry.ino} ${entry.mtimeMs}`;
}
