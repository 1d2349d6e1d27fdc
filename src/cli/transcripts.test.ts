import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp-dir.ts";
import { TranscriptFiles, transcriptDirectory } from "../observe/transcripts/files.ts";
import type { MessageView } from "../queue/queue.ts";
import { renderTranscripts, transcriptsOf } from "./transcripts.ts";

const AT = Date.UTC(2026, 0, 5, 9, 14, 5);

test("without the daemon transcripts come from their files: the message's own, and the last probe of the door that holds it", async () => {
  await using folder = await disposableFolder();
  const files = new TranscriptFiles(transcriptDirectory(folder.path), "errors", () => {});
  const about = { at: AT, upstream: "scans", remote: "smtp.office365.com:587", failed: true };
  files.keep({ ...about, lines: [{ at: AT, from: "-", text: "an older probe" }] });
  files.keep({ ...about, upstream: "other", lines: [] });
  files.keep({ ...about, lines: [{ at: AT, from: "-", text: "ended at token: AADSTS7000215" }] });
  files.keep({
    ...about,
    at: AT - 1000,
    queueId: "01A",
    tls: "TLSv1.3",
    lines: [{ at: AT - 1000, from: "<", text: "421 \u001b[31mbusy" }],
  });
  await files.settled();
  const view = {
    message: { queueId: "01A" },
    entries: [
      { state: "held", lane: "scans" },
      { state: "delivered", lane: "other" },
    ],
  };
  const found = await transcriptsOf({ data_dir: folder.path }, view as unknown as MessageView);
  const lines = renderTranscripts(found, "UTC");
  expect(lines).toEqual([
    "",
    "Transcript, 2026-01-05 09:14:04 by scans to smtp.office365.com:587, TLSv1.3: failed",
    expect.stringMatching(/^ {2}09:14:04 < 421 .*busy$/),
    "",
    "Transcript of a probe, 2026-01-05 09:14:05 by scans to smtp.office365.com:587: failed",
    "  09:14:05 - ended at token: AADSTS7000215",
  ]);
  expect(lines.join("")).not.toContain("\u001b[31m");
});

test("says why there is none", () => {
  expect(renderTranscripts([], "UTC")).toEqual(["", "no transcript is kept of this message (log.transcripts says of which)"]);
});

async function disposableFolder() {
  const folder = await tempDir();
  return { path: folder.path, [Symbol.asyncDispose]: () => folder.remove() };
}
