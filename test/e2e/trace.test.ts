/** "The scan of 9:14 from 10.20.3.7 did not arrive": one command, for everything that may have become of it. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LineClient } from "../fakes/line-client.ts";
import { startScriptedSmtp, type ScriptedSmtp } from "../fakes/scripted-smtp.ts";
import type { RunningProcess } from "../support/process.ts";
import { tempDir, type TempDir } from "../support/temp-dir.ts";
import { postern, run, writeConfig, type Files } from "./process.ts";
import { submit } from "./submit.ts";

let folder: TempDir;
let nextHop: ScriptedSmtp;
let files: Files;
let relay: RunningProcess & { readonly port: number };

beforeEach(async () => {
  folder = await tempDir();
  nextHop = await startScriptedSmtp({
    replies: {
      "rcpt slow@contoso.com": "451 4.7.500 Server busy. Please try again later",
      "rcpt nobody@contoso.com": "550 5.1.1 No such user here",
    },
  });
  files = await writeConfig(folder.path, nextHop.port, {
    organization: { domains: ["contoso.com"], postmaster: "it@contoso.com", time_zone: "Europe/Paris" },
    clients: { floor: { networks: ["127.0.0.1"] } },
    log: { subjects: true },
    // Deferred mail is to be found deferred, however long the questions take.
    retry: { first: "1m" },
  });
  relay = await run(files);
});

afterEach(async () => {
  await relay.stop("SIGKILL");
  await nextHop.close();
  await folder.remove();
});

const trace = (...words: readonly string[]) => postern(files.configFile, "trace", ...words);

async function send(to: string, subject: string, messageId: string): Promise<string> {
  const content = `From: <scanner@contoso.com>\r\nSubject: ${subject}\r\nMessage-ID: <${messageId}>\r\n\r\nx\r\n`;
  return await submit(relay.port, { from: "scanner@contoso.com", to: [to], content });
}

/** A connection and what it was told. */
async function refused(address: string, ...commands: readonly string[]): Promise<string> {
  await using client = await LineClient.open(relay.port, address);
  let said = await client.reply();
  for (const command of commands) said = await client.say(command);
  return said;
}

test("delivered, deferred and bounced mail is found by device, time, address, subject, Message-ID, queue id and the next hop's words and codes", async () => {
  const delivered = await send("anna@contoso.com", "Invoice 4711", "scan-1@npi65e56");
  await relay.waitForEvent("recipient.delivered");
  const deferred = await send("slow@contoso.com", "Delivery note", "scan-2@npi65e56");
  await relay.waitForEvent("recipient.deferred");
  const bounced = await send("nobody@contoso.com", "Letter", "scan-3@npi65e56");
  await relay.waitForEvent("recipient.bounced");

  const [all, byAddress, bySubject, byMessageId, byBareId, byId, byAnswer, byStatus, byReply, byHour] = await Promise.all([
    trace("127.0.0.1", "1h"),
    trace("slow@contoso.com", "--json"),
    trace("invoice"),
    trace("<scan-3@npi65e56>"),
    trace("scan-3@npi65e56", "--json"),
    trace(deferred.toLowerCase()),
    trace("queued as SCRIPTED"),
    trace("4.7.500"),
    trace("550 5.1.1 no such user"),
    trace(new Intl.DateTimeFormat("sv-SE", { timeStyle: "short", timeZone: "Europe/Paris" }).format(Date.now()), "127.0.0.1", "--json"),
  ]);

  for (const id of [delivered, deferred, bounced]) expect(all.stdout).toContain(id);
  const latest = await trace("127.0.0.1", "--limit", "1");
  expect(latest.stdout, "the latest of several is not shown as if it were the only one").toContain("(the latest 1; --limit shows more)");
  expect(latest.stdout).toContain(bounced);
  expect(all.stdout).toMatch(new RegExp(`^${delivered}\t.*\tdelivered\t127\\.0\\.0\\.1`, "m"));
  expect(JSON.parse(byAddress.stdout)).toMatchObject({ messages: [{ queueId: deferred, states: { deferred: 1 } }] });
  expect(bySubject.stdout).toMatch(new RegExp(`^queue id +${delivered}$`, "m"));
  expect(bySubject.stdout).toMatch(/250 2\.0\.0 OK queued as SCRIPTED/);
  expect(byMessageId.stdout).toMatch(/550 5\.1\.1 No such user here/);
  expect(JSON.parse(byBareId.stdout)).toMatchObject({ messages: [{ queueId: bounced }], message: { message: { queueId: bounced } } });
  expect(byId.stdout).toMatch(/451 4\.7\.500 Server busy[\s\S]*next attempt|next attempt[\s\S]*451 4\.7\.500 Server busy/);
  expect(byAnswer.stdout).toContain(delivered);
  expect(byStatus.stdout).toContain(deferred);
  expect(byReply.stdout).toContain(bounced);
  expect((JSON.parse(byHour.stdout) as { messages: { queueId: string }[] }).messages.map(({ queueId }) => queueId)).toContain(bounced);
});

test("held mail, and what was refused at the listener or by a rule, is found with the remedy", async () => {
  const held = await send("slow@contoso.com", "Held", "scan-4@npi65e56");
  await relay.waitForEvent("recipient.deferred");
  await postern(files.configFile, "queue", "hold", held);
  await refused("127.0.0.1", "HELO x", "MAIL FROM:<scanner@contoso.com>", "RCPT TO:<carla@fabrikam.com>");
  await refused("127.0.0.7");

  const [byHolder, byRule, stranger] = [await trace(held), await trace("carla@fabrikam.com"), await trace("127.0.0.7", "10m")];

  expect(byHolder.stdout).toContain("slow@contoso.com: held (operator)");
  expect(byRule.stdout).toMatch(
    /Refused at the listener[\s\S]*550 5\.7\.1[\s\S]*carla@fabrikam\.com[\s\S]*remedy: add the address to the client's recipients/,
  );
  expect(stranger.stdout).toMatch(/127\.0\.0\.7 on printers: 554 5\.7\.1[\s\S]*remedy: .*postern devices allow 127\.0\.0\.7 --client NAME/);
});

test("what was never seen is told so, with where to look; nonsense is one line and 64", async () => {
  await send("anna@contoso.com", "x", "scan-5@npi65e56");

  const [never, quiet, nothing, noTime, twice] = await Promise.all([
    trace("10.20.3.7", "9:14"),
    trace("127.0.0.1", "2020-01-01"),
    trace("no-such-word"),
    trace("25:99"),
    trace("10.0.0.1", "10.0.0.2"),
  ]);

  expect(never).toMatchObject({ code: 0, stdout: expect.stringContaining("10.20.3.7 was never seen: it did not reach this relay.") });
  expect(quiet.stdout).toContain("that fits 127.0.0.1 2020-01-01 (2020-01-01 00:00:00 to 2020-01-01 23:59:59, Europe/Paris).\n");
  expect(quiet.stdout).toMatch(/127\.0\.0\.1 was last seen .*; its last message came /);
  expect(nothing.stdout).toContain("Nothing was accepted or refused that fits no-such-word.\nA word is looked for in");
  expect(noTime).toMatchObject({ code: 64, stderr: expect.stringMatching(/^postern: 25:99 is no time: try 9:14/) });
  expect(twice).toMatchObject({ code: 64, stderr: "postern: 10.0.0.1 and 10.0.0.2 are both a device: give one\n" });
});

test("a waiting message is exported as it is stored, to a file of its owner's or to standard output; a delivered one has no content any more", async () => {
  const waiting = await send("slow@contoso.com", "Waiting", "scan-6@npi65e56");
  await relay.waitForEvent("recipient.deferred");
  const gone = await send("anna@contoso.com", "Gone", "scan-7@npi65e56");
  await relay.waitForEvent("recipient.delivered");
  const file = join(folder.path, "scan.eml");
  const command = (...args: readonly string[]) => postern(files.configFile, "queue", "export", ...args);

  const [written, again] = [await command(waiting, "--output", file), await command(waiting, "--output", file)];
  const [printed, missing, unknown] = [await command(waiting), await command(gone), await command("01JD8ZQ3V5W6X7Y8Z9A0B1C2D3")];

  const content = await readFile(file, "latin1");
  expect(written.code).toBe(0);
  expect(content).toMatch(/^Received: [\s\S]*\r\nX-Postern-Id: [0-9A-Z]{26}\r\n[\s\S]*Subject: Waiting\r\n[\s\S]*\r\n\r\nx\r\n$/);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(again).toMatchObject({ code: 64, stderr: expect.stringMatching(/^postern: queue export: cannot write .*EEXIST/) });
  expect(printed.stdout).toBe(content);
  expect(missing).toMatchObject({
    code: 64,
    stderr: expect.stringContaining("is not stored any more: it was deleted with its last recipient"),
  });
  expect(unknown.code).toBe(64);
});
