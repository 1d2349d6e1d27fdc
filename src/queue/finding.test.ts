import { afterEach, beforeEach, expect, test } from "vitest";
import { tempDir, type TempDir } from "../../test/support/temp-dir.ts";
import type { Envelope } from "../mail/message.ts";
import { ManualClock } from "../platform/clock.ts";
import { openQueue } from "./open.ts";
import type { MessageQuery, Queue } from "./queue.ts";

let folder: TempDir;
let queue: Queue;
const clock = new ManualClock();

beforeEach(async () => {
  folder = await tempDir();
  queue = await openQueue({
    directory: folder.path,
    route: () => "scans",
    emit: () => undefined,
    clock,
    floorBytes: 0,
    historyKeepMs: 86_400_000,
  });
});

afterEach(async () => {
  await queue.close();
  await folder.remove();
});

/** Takes a message in; gives its queue id. */
async function accept(changes: Partial<Envelope>): Promise<string> {
  clock.advance(60_000);
  const writer = queue.open();
  const { queueId } = await writer.commit({
    reversePath: "scanner@contoso.com",
    recipients: ["anna@contoso.com"],
    origin: { listener: "printers", client: "floor", device: "10.20.3.7", helo: "MFP01" },
    kind: "mail",
    priority: "normal",
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: 0,
    messageId: "<1@contoso.com>",
    repairs: [],
    sessionStartedAt: clock.now(),
    ...changes,
  });
  return queueId;
}

const found = async (query: MessageQuery, limit = 20): Promise<string[]> => (await queue.find(query, limit)).map(({ queueId }) => queueId);

test("the newest come first, and no more than asked for, over all times and within one", async () => {
  const [, second, third] = [await accept({}), await accept({}), await accept({})];

  expect(await found({ device: "10.20.3.7" }, 2)).toEqual([third, second]);
  expect(await found({ acceptedFrom: clock.now() - 90_000, acceptedUntil: clock.now() + 1 })).toEqual([third, second]);
});

test("text is found in whatever case, letters beyond ASCII too, and signs that mean something to the database mean themselves", async () => {
  const accents = await accept({ subject: "Relevé ÉLÈVE n° 7" });
  const signs = await accept({ subject: 'at 100 %_! "quoted" \\ back' });

  expect(await found({ text: "RELEVÉ élève" })).toEqual([accents]);
  expect(await found({ text: "100 %_!" })).toEqual([signs]);
  expect(await found({ text: '"QUOTED" \\' })).toEqual([signs]);
  expect(await found({ text: "100 _%!" })).toEqual([]);
  expect(await found({ text: "Relev_" })).toEqual([]);
});

test("a word is found in the addresses too: who remembers the name remembers it without its domain", async () => {
  const scan = await accept({ recipients: ["bruno@contoso.com", "anna@contoso.com"] });
  const report = await accept({ reversePath: "anna@fabrikam.com", recipients: ["it@contoso.com"] });

  expect(await found({ text: "Anna" })).toEqual([report, scan]);
  expect(await found({ text: "fabrikam" })).toEqual([report]);
});

test("what stands in another field of the message than the one asked for does not count", async () => {
  await accept({ subject: "to anna@contoso.com", recipients: ["bruno@contoso.com"] });

  expect(await found({ address: "anna@contoso.com" })).toEqual([]);
});

test("whoever may not read subjects finds nothing by their words, and is told none", async () => {
  const scan = await accept({ subject: "Dismissal of Bruno" });

  expect(await found({ text: "dismissal" })).toEqual([scan]);
  expect(await found({ text: "dismissal", subjects: false })).toEqual([]);
  expect(await queue.find({ device: "10.20.3.7", subjects: false }, 20)).toEqual([expect.objectContaining({ subject: undefined })]);
});

test("a Message-ID is found without its brackets, unless an address is meant", async () => {
  const scan = await accept({ messageId: "<scan.7@mfp.contoso.com>" });
  const other = await accept({ recipients: ["7@mfp.contoso.com"] });

  expect(await found({ address: "scan.7@mfp.contoso.com" })).toEqual([scan]);
  expect(await found({ address: "7@mfp.contoso.com" })).toEqual([other]);
});
