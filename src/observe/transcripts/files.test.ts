import { appendFile, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { tempDir } from "../../../test/support/temp-dir.ts";
import type { Transcript } from "../../mail/transcript.ts";
import { readTranscripts, TranscriptFiles } from "./files.ts";

let folder: Awaited<ReturnType<typeof tempDir>>;
let directory: string;
beforeEach(async () => {
  folder = await tempDir();
  directory = join(folder.path, "transcripts");
});
afterEach(async () => await folder.remove());

const transcript = (queueId: string, text = "250 ok"): Transcript => ({
  at: 1,
  queueId,
  upstream: "scans",
  failed: true,
  lines: [{ at: 1, from: "<", text }],
});

test("are found by queue id, the oldest first, in private files", async () => {
  const files = new TranscriptFiles(directory, "errors", () => {});
  files.keep(transcript("01A", "first"));
  files.keep(transcript("01B"));
  files.keep(transcript("01A", 'second, of "queueId":"01B"'));
  await files.settled();
  await appendFile(join(directory, "transcripts.jsonl"), '{"queueId":"01A","lines":[');
  expect((await readTranscripts(directory, "01A")).map(({ lines }) => lines[0]?.text)).toEqual(["first", 'second, of "queueId":"01B"']);
  expect(await readTranscripts(directory, "01B")).toHaveLength(1);
  expect(((await stat(directory)).mode & 0o777).toString(8)).toBe("700");
  expect(((await stat(join(directory, "transcripts.jsonl"))).mode & 0o777).toString(8)).toBe("600");
});

test("files are replaced by size, over restarts too, and the oldest leave", async () => {
  for (let round = 0; round < 20; round++) {
    const files = new TranscriptFiles(directory, "all", () => {}, 2_000);
    files.keep(transcript(`01${round}`, "x".repeat(1_000)));
    await files.settled();
  }
  expect((await readdir(directory)).toSorted()).toEqual(["", ".1", ".2", ".3", ".4"].map((age) => `transcripts.jsonl${age}`));
  expect(await readTranscripts(directory, "0119")).toHaveLength(1);
  expect(await readTranscripts(directory, "0115")).toHaveLength(1);
  expect(await readTranscripts(directory, "0114")).toEqual([]);
});

test("a long transcript keeps its end", async () => {
  const files = new TranscriptFiles(directory, "errors", () => {});
  const lines = Array.from({ length: 1000 }, (_, i) => ({ at: 1, from: "<" as const, text: `${i} ${"x".repeat(500)}` }));
  files.keep({ ...transcript("01A"), lines });
  await files.settled();
  const [kept] = await readTranscripts(directory, "01A");
  expect(kept?.lines[0]?.text).toMatch(/^\(\d+ lines left out\)$/);
  expect(kept?.lines.at(-1)?.text).toMatch(/^999 /);
  expect(JSON.stringify(kept).length).toBeLessThan(140 * 1024);
});

test("a folder that cannot be made is told of once, and the next transcript is tried again", async () => {
  await writeFile(directory, "in the way");
  const told: string[] = [];
  const files = new TranscriptFiles(directory, "errors", (text) => void told.push(text));
  files.keep(transcript("01A"));
  await files.settled();
  files.keep(transcript("01B"));
  await files.settled();
  expect(told).toHaveLength(1);
  await folder.remove();
  await mkdir(folder.path);
  files.keep(transcript("01C"));
  await files.settled();
  expect(await readTranscripts(directory, "01C")).toHaveLength(1);
});
