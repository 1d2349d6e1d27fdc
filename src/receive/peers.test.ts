/** Real clients against a real receiver. A client that is not installed is skipped by name. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MemorySink } from "../../test/fakes/memory-sink.ts";
import { startProcess } from "../../test/support/process.ts";
import { hasTool } from "../../test/support/tools.ts";
import { systemClock } from "../platform/clock.ts";
import { createReceiver } from "./receiver.ts";
import type { Receiver } from "./receiver.ts";

let receiver: Receiver;
let sink: MemorySink;
let port: number;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-peers-"));
  sink = new MemorySink();
  receiver = createReceiver({
    hostname: "relay.contoso.com",
    domains: { own: ["contoso.com"], first: "contoso.com" },
    listeners: [{ name: "printers", endpoints: [{ host: "127.0.0.1", port: 0 }], tls: { mode: "none" } }],
    clients: [
      {
        name: "floor",
        networks: ["127.0.0.1"],
        senders: ["internal"],
        recipients: ["any"],
        fallbackSender: "s@contoso.com",
        maxMessageSizeBytes: 1e8,
        priority: "normal",
      },
    ],
    limits: { sessionsPerDevice: 100 },
    sink,
    clock: systemClock,
    emit: () => undefined,
  });
  await receiver.start();
  port = receiver.addresses()[0]?.port ?? 0;
});
afterEach(async () => {
  await receiver.stop(0);
  await rm(folder, { recursive: true });
});

async function run(command: string, args: readonly string[], input?: string | Uint8Array): Promise<void> {
  await using child = await startProcess(command, args, { input });
  const exit = await child.exited;
  if (exit.code !== 0) throw new Error(`${command} ended with ${String(exit.code)}:\n${child.lines.join("\n")}`);
}

/** Octets after the first empty line. */
function bodyOf(index = 0): string {
  const text = sink.messages[index]?.content.toString("latin1") ?? "";
  return text.slice(text.indexOf("\r\n\r\n") + 4);
}

const BODY = "Line one\r\n.\r\n..two dots\r\n\r\n  trailing \t\r\n8-bit: \u00e4\u00f6\u00fc\r\n";

test.skipIf(!hasTool("python3"))("python3 smtplib delivers, body byte for byte", async () => {
  const script = [
    "import smtplib, sys",
    `s = smtplib.SMTP('127.0.0.1', ${port})`,
    "s.sendmail('scanner@contoso.com', ['a@contoso.com', 'b@fabrikam.com'], ('From: scanner@contoso.com\\r\\nSubject: t\\r\\n\\r\\n').encode() + sys.stdin.buffer.read())",
    "s.quit()",
  ].join("\n");

  await run("python3", ["-c", script], Buffer.from(BODY, "latin1"));

  expect(bodyOf()).toBe(BODY);
  expect(sink.messages[0]?.message).toMatchObject({ recipients: ["a@contoso.com", "b@fabrikam.com"], eightBit: true });
});

test.skipIf(!hasTool("swaks"))("swaks delivers, with pipelining and AUTH that nobody asked for", async () => {
  await run("swaks", [
    "--server",
    "127.0.0.1",
    "--port",
    String(port),
    "--from",
    "a@contoso.com",
    "--to",
    "b@contoso.com,c@contoso.com",
    "--pipeline",
    "--body",
    "hello",
    "--auth-optional",
    "LOGIN",
  ]);

  expect(sink.messages[0]?.message.recipients).toEqual(["b@contoso.com", "c@contoso.com"]);
  expect(bodyOf()).toMatch(/^hello\r\n/);
});

test.skipIf(!hasTool("curl"))("curl delivers a file, byte for byte", async () => {
  const file = join(folder, "mail.eml");
  await writeFile(file, `From: a@contoso.com\r\nTo: b@contoso.com\r\n\r\n${BODY}`, "latin1");

  await run("curl", [
    "--silent",
    "--show-error",
    "--url",
    `smtp://127.0.0.1:${port}/nas`,
    "--mail-from",
    "a@contoso.com",
    "--mail-rcpt",
    "b@contoso.com",
    "--upload-file",
    file,
  ]);

  expect(bodyOf()).toBe(BODY);
});

test.skipIf(!hasTool("smtp-source"))("smtp-source without HELO and without headers delivers", async () => {
  await run("smtp-source", ["-o", "-m", "5", "-l", "500", "-f", "a@contoso.com", "-t", "b@contoso.com", `127.0.0.1:${port}`]);

  await sink.received(5);
  expect(sink.messages[0]?.message.repairs).toEqual(["header-missing", "from-added", "date-added", "message-id-added"]);
  expect(bodyOf()).toMatch(/^1?X+\r\n/);
});

test.skipIf(!hasTool("smtp-source"))("smtp-source on 20 kept connections delivers everything", async () => {
  await run("smtp-source", [
    "-s",
    "20",
    "-m",
    "2000",
    "-l",
    "4096",
    "-d",
    "-f",
    "a@contoso.com",
    "-t",
    "b@contoso.com",
    `127.0.0.1:${port}`,
  ]);

  expect(sink.committed).toBe(2000);
});

test.skipIf(!hasTool("msmtp"))("msmtp delivers", async () => {
  await run(
    "msmtp",
    ["--host=127.0.0.1", `--port=${port}`, "--from=a@contoso.com", "--auth=off", "--tls=off", "b@contoso.com"],
    "Subject: x\n\nhello\n",
  );

  expect(bodyOf()).toBe("hello\r\n");
});
