/**
 * What looks like the end of data inside a message never is one on the way out, wherever the blocks of storage and of the network cut it: the next hop
 * gets one message for each that was sent, octet for octet.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { submitAll } from "../corpus/submit-all.ts";
import { run, writeConfig } from "../e2e/process.ts";
import { startScriptedSmtp } from "../fakes/scripted-smtp.ts";
import type { ScriptedSmtp } from "../fakes/scripted-smtp.ts";
import type { RunningProcess } from "../support/process.ts";
import { tempDir } from "../support/temp-dir.ts";
import type { TempDir } from "../support/temp-dir.ts";

const HEADER = "From: scanner@contoso.com\r\nDate: Mon, 5 Jan 2026 10:00:00 +0100\r\nMessage-ID: <1@contoso.com>\r\n\r\n";
const SMUGGLED = "MAIL FROM:<evil@contoso.com>\r\nRCPT TO:<victim@contoso.com>\r\nDATA\r\nsmuggled\r\n";
/** All that some server has taken for the end of data. */
const ENDS = [
  "\r\n.\r\n",
  "\n.\n",
  "\n.\r\n",
  "\r\n.\n",
  "\r.\r",
  "\r.\r\n",
  "\r\n.\r",
  "\r\r\n.\r\n",
  "\r\n.\0\r\n",
  "\r\n.\r\n.\r\n",
  "\r\n..\r\n",
];
/** Where blocks of content end: one row of the queue, and one write. */
const BLOCKS = [64 * 1024, 256 * 1024];

let folder: TempDir;
let nextHop: ScriptedSmtp;
let relay: RunningProcess & { readonly port: number };

beforeAll(async () => {
  folder = await tempDir();
  nextHop = await startScriptedSmtp();
  relay = await run(await writeConfig(folder.path, nextHop.port));
}, 60_000);

afterAll(async () => {
  await relay.stop("SIGKILL");
  await nextHop.close();
  await folder.remove();
});

/** The content as the next hop must see it, behind the fields that the relay adds. */
function canonical(content: string): string {
  return content.replaceAll("\0", " ").replace(/\r*\n|\r/g, "\r\n");
}

async function expectWhole(contents: readonly string[]): Promise<void> {
  const before = nextHop.messages.length;
  const enough = nextHop.next("message", () => nextHop.messages.length - before >= contents.length);

  await submitAll(
    relay.port,
    contents.map((content) => Buffer.from(content, "latin1")),
  );
  await enough;
  // One more round trip of mail: whatever had been smuggled would have come before it.
  const marked = nextHop.next("message", ({ content }) => content.includes("the marker"));
  await submitAll(relay.port, [Buffer.from(`${HEADER}the marker\r\n`)]);
  await marked;

  const arrived = nextHop.messages.slice(before);
  const bodies = arrived.map(({ content }) => content.toString("latin1")).map((text) => text.slice(text.indexOf("\r\n\r\n") + 4));
  const sent = [...contents, `${HEADER}the marker\r\n`].map(canonical).map((text) => text.slice(text.indexOf("\r\n\r\n") + 4));
  expect(bodies.toSorted()).toEqual(sent.toSorted());
  expect(nextHop.sessions.flatMap(({ commands }) => commands).filter((line) => /evil|victim/.test(line))).toEqual([]);
}

test("in small messages", async () => {
  await expectWhole(ENDS.map((end) => `${HEADER}body${end}${SMUGGLED}`));
});

test.each(BLOCKS)(
  "at each octet around the end of a block of %i",
  async (block) => {
    const end = "\r\n.\r\n";
    const measured = nextHop.next("message");
    await submitAll(relay.port, [Buffer.from(`${HEADER}x\r\n`)]);
    const ownFields = (await measured).content.indexOf(HEADER);
    const contents = Array.from({ length: 9 }, (_, at) => {
      const room = block - ownFields - HEADER.length - 7 + at;
      const lines = `${"x".repeat(78)}\r\n`.repeat(Math.floor(room / 80));
      return `${HEADER}${lines}${"y".repeat(room % 80)}${end}${SMUGGLED}`;
    });

    await expectWhole(contents);
  },
  60_000,
);
