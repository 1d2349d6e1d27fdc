/**
 * Transcripts in files of `data_dir/deliver/transcripts`, one JSON object a line: `transcripts.jsonl` and four older ones, 4 MiB each, the oldest
 * of which leaves. Not durable: they explain, and nothing depends on them.
 */
import { createReadStream } from "node:fs";
import { appendFile, chmod, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describeError } from "../../mail/errors.ts";
import type { Transcript, TranscriptKeeper } from "../../mail/transcript.ts";
import { ensurePrivateDirectory } from "../../platform/files.ts";

const FILE = "transcripts.jsonl";
const LARGEST_FILE = 4 * 2 ** 20;
const OLDER_FILES = 4;
/** Octets that may wait for a slow disk; what comes beyond is dropped. */
const MOST_WAITING = 4 * 2 ** 20;
/** One transcript. */
const LONGEST = 128 * 1024;

/** The folder of the transcripts. */
export function transcriptDirectory(dataDir: string): string {
  return join(dataDir, "deliver", "transcripts");
}

export class TranscriptFiles implements TranscriptKeeper {
  /** A reload may change it. */
  of: TranscriptKeeper["of"];
  readonly #directory: string;
  readonly #warn: (text: string) => void;
  readonly #largestFile: number;
  #waiting: string[] = [];
  #waitingLength = 0;
  #size: number | undefined;
  #writing: Promise<void> | undefined;
  #warned = false;

  /** @param warn - told about files that cannot be written, once until they can */
  constructor(directory: string, of: TranscriptKeeper["of"], warn: (text: string) => void, largestFile = LARGEST_FILE) {
    this.#directory = directory;
    this.of = of;
    this.#warn = warn;
    this.#largestFile = largestFile;
  }

  keep(transcript: Transcript): void {
    const line = `${JSON.stringify(shortened(transcript))}\n`;
    if (this.#waitingLength + line.length > MOST_WAITING) return;
    this.#waiting.push(line);
    this.#waitingLength += line.length;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Resolves when everything is written, as far as that works. */
  async settled(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const octets = Buffer.from(this.#waiting.join(""));
      this.#waiting = [];
      this.#waitingLength = 0;
      try {
        await this.#append(octets);
        this.#warned = false;
      } catch (error) {
        if (!this.#warned) this.#warn(`${this.#directory}: ${describeError(error)}`);
        this.#warned = true;
        this.#size = undefined;
      }
    }
  }

  async #append(octets: Buffer): Promise<void> {
    const path = join(this.#directory, FILE);
    if (this.#size === undefined) {
      await ensurePrivateDirectory(this.#directory);
      this.#size = await sizeOf(path);
    }
    if (this.#size > 0 && this.#size + octets.length > this.#largestFile) {
      for (let age = OLDER_FILES - 1; age >= 0; age--) await renameIfThere(pathOf(this.#directory, age), pathOf(this.#directory, age + 1));
      this.#size = 0;
    }
    await appendFile(path, octets, { mode: 0o600 });
    if (this.#size === 0) await chmod(path, 0o600);
    this.#size += octets.length;
  }
}

/**
 * All transcripts of a message, the oldest first, and the last probe of each upstream named: a message that a closed door holds may never
 * have been tried itself. Empty where none was kept, or they have left.
 */
export async function readTranscripts(directory: string, queueId: string, upstreams: readonly string[] = []): Promise<Transcript[]> {
  const found: Transcript[] = [];
  const probes = new Map<string, Transcript>();
  const signs = [queueId, ...upstreams].map((name) => JSON.stringify(name));
  for (let age = OLDER_FILES; age >= 0; age--) {
    try {
      for await (const line of createInterface({ input: createReadStream(pathOf(directory, age)), crlfDelay: Infinity })) {
        // A line that a crash cut is no transcript.
        const transcript = signs.some((sign) => line.includes(sign)) ? parsed(line) : undefined;
        if (transcript?.queueId === queueId) found.push(transcript);
        else if (transcript !== undefined && transcript.queueId === undefined && upstreams.includes(transcript.upstream))
          probes.set(transcript.upstream, transcript);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return [...found, ...probes.values()].toSorted((a, b) => a.at - b.at);
}

function pathOf(directory: string, age: number): string {
  return join(directory, age === 0 ? FILE : `${FILE}.${age}`);
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** The last lines tell most. */
function shortened(transcript: Transcript): Transcript {
  let length = 0;
  const from = transcript.lines.findLastIndex(({ text }) => (length += text.length + 50) > LONGEST);
  if (from < 0) return transcript;
  return {
    ...transcript,
    lines: [{ at: transcript.at, from: "-", text: `(${from + 1} lines left out)` }, ...transcript.lines.slice(from + 1)],
  };
}

function parsed(line: string): Transcript | undefined {
  try {
    const value = JSON.parse(line) as Transcript;
    return Array.isArray(value.lines) ? value : undefined;
  } catch {
    return undefined;
  }
}
