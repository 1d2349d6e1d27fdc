/**
 * Control characters, quotes and markup in everything that a client or a next hop can name, through the whole product: nothing of it becomes a line,
 * a field, a label or a colour of log, report, metrics, or of what an operator sees.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { postern, run, writeConfig } from "../e2e/process.ts";
import type { Files } from "../e2e/process.ts";
import { LineClient } from "../fakes/line-client.ts";
import { startScriptedSmtp } from "../fakes/scripted-smtp.ts";
import type { ScriptedMessage, ScriptedSmtp } from "../fakes/scripted-smtp.ts";
import type { RunningProcess } from "../support/process.ts";
import { tempDir } from "../support/temp-dir.ts";
import type { TempDir } from "../support/temp-dir.ts";

/** What each value is tried with; as the octets that are sent. */
const EVIL = [
  "\u001b[31mred\u001b]0;title\u0007",
  "a\rInjected: yes",
  "a\0b",
  '","event":"forged","x":"',
  "<script>alert(1)</script>",
  "'; DROP TABLE recipient; --",
  "a\u00c2\u0085b\u00e2\u0080\u00a8c",
  "\u00ff\u00fe\u009b31m",
  "{{7*7}}${7*7}%0d%0aInjected:%20yes",
  "=?utf-8?q?=0D=0AInjected:_yes=1B[31m?=",
  "__proto__",
];
/** Not printable ASCII, tab and line feed. */
const UNPRINTABLE = /[^\t\n -~]/;

let folder: TempDir;
let files: Files;
let nextHop: ScriptedSmtp;
let relay: RunningProcess & { readonly port: number };
let report: ScriptedMessage;
const replies: string[] = [];

beforeAll(async () => {
  folder = await tempDir();
  nextHop = await startScriptedSmtp({
    replies: {
      "rcpt bad@contoso.com": '550 5.1.1 \u001b[31m"bad"\\ <script>alert(1)</script> \u0007\u009b Injected: yes',
      "rcpt later@contoso.com": '451 4.3.0 \u001b[2J"later" <b>',
    },
  });
  files = await writeConfig(folder.path, nextHop.port, { log: { level: "debug", subjects: true } });
  relay = await run(files);
  const reported = nextHop.next("message", ({ mail }) => mail.includes("<>"));

  for (const evil of EVIL) await sendWith(evil);
  report = await reported;
  await relay.waitForEvent("recipient.deferred");
}, 60_000);

afterAll(async () => {
  await relay.stop("SIGKILL");
  await nextHop.close();
  await folder.remove();
});

/** One session with this value wherever a value can stand. */
async function sendWith(evil: string): Promise<void> {
  await using client = await LineClient.open(relay.port);
  const say = async (line: string): Promise<void> => void replies.push(await client.say(line));
  replies.push(await client.reply());
  const quoted = `"${evil.replace(/["\\]/g, "\\$&")}"`;
  await say(`EHLO ${evil}`);
  await say(evil);
  await say(`AUTH ${evil}`);
  await say(`VRFY ${evil}`);
  await say(`MAIL FROM:<${evil}>`);
  await say(`MAIL FROM:<a@${evil}>`);
  await say(`MAIL FROM:<a@contoso.com> ENVID=${evil} ${evil}=${evil}`);
  await say("MAIL FROM:<a@contoso.com>");
  await say(`RCPT TO:<${evil}>`);
  await say(`RCPT TO:<a@${evil}>`);
  await say(`RCPT TO:<${quoted}@contoso.com>`);
  await say(`RCPT TO:<bad@contoso.com> ORCPT=rfc822;${evil} NOTIFY=${evil}`);
  await say("RCPT TO:<later@contoso.com>");
  await say("DATA");
  const fields = [`From: ${quoted} <a@contoso.com>`, `Subject: ${evil}`, `Message-ID: <${evil}@x>`, `Date: ${evil}`, `X-${evil}: ${evil}`];
  client.write(`${fields.map((field) => `${field}\r\n`).join("")}\r\n${evil}\r\n.\r\n`);
  replies.push(await client.reply());
}

test("every reply is one of SMTP in printable ASCII", () => {
  expect(replies.filter((reply) => !/^(?:\d{3}-[ -~]*\n)*\d{3}[ -~]*$/.test(reply))).toEqual([]);
  expect(replies.filter((reply) => reply.includes("queued as"))).toHaveLength(EVIL.length);
});

test("every log line is one JSON object in ASCII, with an event that exists", () => {
  const odd = relay.lines.filter((line) => UNPRINTABLE.test(line) || (JSON.parse(line) as { event: string }).event === "forged");

  expect(odd).toEqual([]);
  expect(relay.lines.length).toBeGreaterThan(EVIL.length * 5);
});

test("a report has the header fields that it should have, and its lines are clean", () => {
  const text = report.content.toString("latin1");
  const header = text.slice(0, text.indexOf("\r\n\r\n"));
  const names = header
    .split(/\r\n(?![ \t])/)
    .map((field) => field.slice(0, field.indexOf(":")).toLowerCase())
    .toSorted();

  expect(new Set(names).size).toBe(names.length);
  expect(names).not.toContain("injected");
  // The copy of the original's header stands in a part of its own, as it was sent; all before it is ours.
  expect(text.slice(0, text.search(/^Content-Type: (?:text\/rfc822-headers|message\/rfc822)/im))).not.toMatch(/[^\t\r\n -~]|^Injected:/m);
});

test("nothing that passes on has more header fields than were sent, and nothing is smuggled to the next hop", () => {
  const commands = nextHop.sessions.flatMap(({ commands: said }) => said);

  expect(
    commands.filter((line) => !/^(?:EHLO|HELO|MAIL FROM:<|RCPT TO:<|DATA$|RSET$|QUIT$|NOOP)/.test(line) || UNPRINTABLE.test(line)),
  ).toEqual([]);
  for (const { content } of nextHop.messages) {
    const text = content.toString("latin1");
    expect(text.slice(0, text.indexOf("\r\n\r\n"))).not.toMatch(/^Injected:/m);
  }
});

test.each([
  ["queue list", ["queue", "list"]],
  ["queue list --json", ["queue", "list", "--json"]],
  ["devices list", ["devices", "list"]],
  ["devices show", ["devices", "show", "127.0.0.1"]],
  ["status", ["status"]],
])("%s prints no control character", async (_, words) => {
  const { code, stdout, stderr } = await postern(files.configFile, ...words);

  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout.length).toBeGreaterThan(0);
  expect(stdout).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
});

test("metrics have known labels only, and no value of a client among them", async () => {
  const text = await (await fetch(`http://127.0.0.1:${files.adminPort}/metrics`)).text();
  await writeFile(join(folder.path, "metrics.txt"), text);

  const odd = text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#") && !/^[a-z_]+(?:\{(?:[a-z_]+="[A-Za-z0-9_.:+-]*",?)*\})? \S+$/.test(line));
  expect(odd).toEqual([]);
});
