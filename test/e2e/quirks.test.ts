/** Quirks through the whole product: what the file says about them, and where an operator sees what was repaired. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { LineClient } from "../fakes/line-client.ts";
import { startScriptedSmtp } from "../fakes/scripted-smtp.ts";
import type { ScriptedSmtp } from "../fakes/scripted-smtp.ts";
import type { RunningProcess } from "../support/process.ts";
import { tempDir, type TempDir } from "../support/temp-dir.ts";
import { postern, run, writeConfig, type Files } from "./process.ts";

let folder: TempDir;
let nextHop: ScriptedSmtp;
let files: Files;
let relay: RunningProcess & { readonly port: number };

beforeEach(async () => {
  folder = await tempDir();
  nextHop = await startScriptedSmtp();
  files = await writeConfig(folder.path, nextHop.port, {
    listeners: { printers: { listen: "127.0.0.1:0", quirks: { auth: "offer", suppress_repeats_within: "10m", ehlo_hide: "SMTPUTF8" } } },
    clients: {
      floor: { networks: "127.0.0.1", recipients: "any" },
      old: {
        networks: "127.0.0.9",
        recipients: "any",
        quirks: { auth: "hide", ehlo_hide: ["PIPELINING", "8BITMIME"], lenient_end_of_data: true, suppress_repeats_within: "none" },
      },
    },
  });
  relay = await run(files);
});

afterEach(async () => {
  await relay.stop("SIGKILL");
  await nextHop.close();
  await folder.remove();
});

async function greeted(from: string): Promise<{ client: LineClient; keywords: string[] }> {
  const client = await LineClient.open(relay.port, from);
  await client.reply();
  const keywords = (await client.say("EHLO device")).split("\n").slice(1);
  return { client, keywords: keywords.map((line) => line.slice(4)) };
}

/** One mail with what stands behind DATA as given. */
async function mail(client: LineClient, content: string): Promise<string> {
  for (const line of ["MAIL FROM:scanner@contoso.com", "RCPT TO:<anna@contoso.com>", "DATA"]) await client.say(line);
  client.write(content);
  return await client.reply();
}

test("the listener's quirks hold for its clients, and a client's own go first", async () => {
  const floor = await greeted("127.0.0.1");
  const old = await greeted("127.0.0.9");

  const first = await mail(floor.client, "Subject: x\r\n\r\nx\r\n.\r\n");
  const repeated = await mail(floor.client, "Subject: x\r\n\r\nx\r\n.\r\n");
  const lenient = await mail(old.client, "Subject: x\n\nx\n.\n");
  const lenientAgain = await mail(old.client, "Subject: x\n\nx\n.\n");
  const told = await relay.waitForEvent("message.repeated");

  await floor.client[Symbol.asyncDispose]();
  await old.client[Symbol.asyncDispose]();
  expect(floor.keywords).toEqual(expect.arrayContaining(["AUTH LOGIN PLAIN", "PIPELINING", "8BITMIME"]));
  expect(floor.keywords).not.toContain("SMTPUTF8");
  expect(old.keywords.filter((keyword) => /^(?:AUTH|PIPELINING|8BITMIME)/.test(keyword))).toEqual([]);
  expect(old.keywords).toContain("SMTPUTF8");
  expect(first).toMatch(/^250 2\.0\.0 Ok: queued as /);
  expect(repeated).toBe(first);
  expect(first).toContain(String(told["queueId"]));
  expect(lenient).toMatch(/^250 2\.0\.0 Ok: queued as /);
  expect(lenientAgain).not.toBe(lenient);
});

test("what was repaired stands in the message, in the device's quirks, and once in the log", async () => {
  const { client } = await greeted("127.0.0.1");
  const arrived = nextHop.next("message");
  await mail(client, "Subject: one\n\nbody\r\n.\r\n");
  await mail(client, "Subject: two\n\nbody\r\n.\r\n");
  await client[Symbol.asyncDispose]();
  await relay.waitForLine((line) => line.includes('"quirk":"bare-lf"'));

  const { code, stdout } = await postern(files.configFile, "devices", "show", "127.0.0.1", "--json");
  const text = (await arrived).content.toString("latin1");
  const told = relay.lines
    .map((line) => JSON.parse(line) as { event: string; quirk?: string })
    .filter(({ event }) => event === "device.repaired");

  expect(text).toMatch(/^X-Postern-Repaired: bare-lf, from-added, date-added,\s+message-id-added\r$/m);
  expect(told.map(({ quirk }) => quirk)).toEqual(["missing-brackets", "from-added", "date-added", "message-id-added", "bare-lf"]);
  expect(code).toBe(0);
  for (const quirk of ["missing-brackets", "bare-lf", "date-added"]) expect(stdout).toContain(quirk);
});
