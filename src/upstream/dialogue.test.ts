import { expect, test } from "vitest";
import type { Transcript } from "../mail/transcript.ts";
import { ManualClock } from "../platform/clock.ts";
import { attachDialogue, Dialogue, dialogueOf, keepTranscript, withoutChallenge, withoutCredentials } from "./dialogue.ts";

const TOKEN = `eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.${"canary".repeat(20)}`;

test.each([
  ["AUTH PLAIN AGFubmEAY2FuYXJ5", "AUTH PLAIN ***"],
  ["AUTH LOGIN", "AUTH LOGIN"],
  ["AUTH LOGIN YW5uYQ==", "AUTH LOGIN ***"],
  ["auth xoauth2 dXNlcj0", "auth xoauth2 ***"],
  ["Y2FuYXJ5", "***"],
  ["canary with spaces", "***"],
  ["AUTHcanary", "***"],
  ["", ""],
])("of %j only the mechanism is kept", (command, kept) => {
  expect(withoutCredentials(command)).toBe(kept);
});

test("challenges, tokens and the secret itself are struck out of what a server says back", () => {
  const password = "canary~pw";
  const back = Buffer.from(password).toString("base64");
  expect(withoutChallenge("334 VXNlcm5hbWU6", password)).toBe("334 ***");
  expect(withoutChallenge(`535 5.7.3 ${password} ${back} ${TOKEN} no [BN9PR03CA0001.namprd03.prod.outlook.com]`, password)).toBe(
    "535 5.7.3 *** *** *** no [BN9PR03CA0001.namprd03.prod.outlook.com]",
  );
});

test("a long run of base64 in an answer to AUTH is struck out, whosever it is; names of hosts and codes stay", () => {
  const opaque = `0.${"Canary09-_".repeat(6)}`;

  expect(withoutChallenge(`535 5.7.139 ${opaque} refused [AM0P281CA0001.DEUP281.PROD.OUTLOOK.COM]`)).toBe(
    "535 5.7.139 0.*** refused [AM0P281CA0001.DEUP281.PROD.OUTLOOK.COM]",
  );
});

test("the opening stays, each message begins anew, and a long one keeps its end", () => {
  const dialogue = new Dialogue(new ManualClock());
  dialogue.received("220 hi");
  dialogue.sent("EHLO relay\r\n");
  dialogue.begin();
  dialogue.sent("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
  dialogue.begin();
  for (let i = 0; i < 1000; i++) dialogue.received(`250-first\r\n250 ${i} ${"x".repeat(2000)}`);
  const lines = dialogue.lines();
  expect(lines.slice(0, 3).map(({ from, text }) => `${from} ${text}`)).toEqual([
    "< 220 hi",
    "> EHLO relay",
    "- (800 commands and replies left out)",
  ]);
  expect(lines.length).toBe(3 + 2 * 200);
  expect(lines.at(-1)?.text.slice(0, 7)).toBe("250 999");
  expect(lines.at(-1)?.text.length).toBe(1000);
});

test("failed attempts are kept, delivered ones where all are wanted, and what was said before a refusal is found again", () => {
  const clock = new ManualClock();
  const kept: Transcript[] = [];
  const keeper = (of: "errors" | "all") => ({ of, keep: (transcript: Transcript) => void kept.push(transcript) });
  const about = { upstream: "scans", queueId: "01A", clock };
  const refusal = { stage: "auth", reply: { code: 535, enhanced: "5.7.3", text: `no ${TOKEN}` } } as const;
  const dialogue = new Dialogue(clock);
  dialogue.received("220 hi");
  attachDialogue(refusal, dialogue);
  keepTranscript(undefined, about, { refusal }, dialogue);
  keepTranscript(keeper("errors"), about, {}, dialogue);
  expect(kept).toEqual([]);
  keepTranscript(keeper("all"), about, {}, dialogue);
  keepTranscript(keeper("errors"), about, { recipients: [{ address: "x", refusal: { stage: "rcpt" } }] }, dialogue);
  keepTranscript(keeper("errors"), about, { refusal }, dialogueOf(refusal));
  expect(kept.map(({ failed, lines }) => `${failed}: ${lines.map(({ text }) => text).join(" | ")}`)).toEqual([
    "false: 220 hi",
    "true: 220 hi",
    "true: 220 hi | ended at auth: 535 5.7.3 no ***",
  ]);
});
