/** Secrets that get out are heard, wherever; and a run in which one got out fails. */
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { DEFAULT_HVE_PASSWORD, DEFAULT_SECRET } from "../../../src/simulator/tenant.ts";
import { printed } from "../printed.ts";
import { runProcess, startProcess } from "../process.ts";
import { tempDir } from "../temp-dir.ts";
import { overhear, PAGE, STAND_IN_SECRETS, takeHeard, type Allowed } from "./canaries.ts";
import { overheardLog } from "./relay.ts";

const JWT = `eyJ0eXAiOiJKV1Qi.eyJhdWQiOiJodHRwcyJ9.c2lnbmF0dXJl`;
const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** What `text` is heard as; nothing is left for the check of this test. */
function heardIn(text: string, allowed?: Allowed): string[] {
  overhear("here", text, allowed);
  return takeHeard().map((line) => line.split(": ")[1] ?? "");
}

test("the stand-in's secrets are the ones that are listened for", () => {
  expect(STAND_IN_SECRETS).toEqual([DEFAULT_SECRET, DEFAULT_HVE_PASSWORD]);
});

test.each([
  ["a password", 'cause":"535 for sap with Canary~7', "a secret of a test"],
  ["the client secret", `client_secret=${DEFAULT_SECRET}&scope=x`, "a secret of the stand-in"],
  ["AUTH PLAIN", `AUTH PLAIN ${base64("\0sap\0a~canary~b")}`, "a secret in base64"],
  ["AUTH PLAIN of another name", `AUTH PLAIN ${base64("\0erp1\0a~canary~b")}`, "a secret in base64"],
  ["AUTH LOGIN", base64("my Canary~pass"), "a secret in base64"],
  ["AUTH LOGIN of the stand-in", base64(DEFAULT_HVE_PASSWORD), "a secret in base64"],
  ["a token", `token ${JWT}`, "a token"],
  ["a bearer", "authorization: Bearer abcdefghijklmnopqrst", "a token"],
  ["XOAUTH2", `AUTH XOAUTH2 ${base64(`user=scanner@contoso.com\u0001auth=Bearer ${JWT}`)}`, "a sign-in by token in base64"],
  ["a key", "-----BEGIN RSA PRIVATE KEY-----", "a private key"],
  ["a body", `Page 7 ${PAGE}`, "the body of a message"],
])("%s is heard", (_, text, name) => {
  expect(heardIn(text)).toContain(name);
});

test("what is said every day is not taken for a secret, nor what may be where it is", () => {
  expect(heardIn('{"event":"upstream.auth.failed","user":"scanner@contoso.com","reply":"535 5.7.3 Authentication unsuccessful"}')).toEqual(
    [],
  );
  expect(heardIn(`Page 7 ${PAGE}`, { content: true })).toEqual([]);
  expect(heardIn("-----BEGIN PRIVATE KEY-----", { keys: true })).toEqual([]);
  expect(heardIn("-----BEGIN PRIVATE KEY----- canary", { keys: true, content: true })).toEqual(["a secret of a test"]);
});

test("a picture that has some letters of a secret's base64 is none, wherever in it the secret is", () => {
  for (const word of ["canary", "Canary"]) {
    for (const before of ["", "a", "ab"]) {
      const encoded = base64(`picture ${before}${word} and more`);
      expect(heardIn(encoded)).toEqual(["a secret in base64"]);
    }
    // What stands in it whole of a word that begins in the middle of a group.
    const part = base64(`?${word}`).slice(4, 9);
    expect(heardIn(`KYxJEYeEL${part}5UIROs7kJ`)).toEqual([]);
    expect(heardIn(`KYxJEYeEL${part}5UIROs7kJ ${base64(word)}`)).toEqual(["a secret in base64"]);
  }
});

test("a picture in which the letters of a secret happen to stand is none", () => {
  const line = "R5Ghn+JYTu7yJBcp7p9Bw/PQKUMfs9IDtsUOTTCNiXra+Pz3+PyzGNCanarYMAQoyFk4YR8GhaB7";
  const pages = [
    line.replace("anar", "aNar"),
    line,
    line.replace("Canar", "canary"),
    line.replace("/PQKUMfs9IDtsUOTTCN", "dXNlcj1QKUMfs9IDtsUOTTCNiXra"),
  ];
  for (const page of pages) expect(heardIn(page)).toEqual([]);
  expect(heardIn(pages.join("\r\n"))).toEqual([]);
  expect(heardIn(`${pages.join("\r\n")}\r\nHf8Q2canaryXkeoR4`)).toEqual(["a secret of a test"]);
  expect(heardIn("canary".repeat(20))).toEqual(["a secret of a test"]);
});

const PRINT = ["-e", 'console.log("out canary"); console.error("err canary")'] as const;

test("whatever a process prints is listened to, on both streams", async () => {
  await using running = await startProcess(process.execPath, PRINT);
  await running.exited;
  const ofRunning = takeHeard();
  await runProcess(process.execPath, PRINT);
  const ofRun = takeHeard();

  expect(ofRunning.toSorted()).toEqual([expect.stringContaining("…err canary…"), expect.stringContaining("…out canary…")]);
  expect(ofRun).toEqual([expect.stringContaining("stdout of "), expect.stringContaining("stderr of ")]);
});

test("so are commands and logs in this process", async () => {
  await printed(async () => (process.stdout.write("canary"), 0));
  const ofCommand = takeHeard();
  overheardLog().write('{"cause":"canary"}');

  expect([...ofCommand, ...takeHeard()]).toEqual([expect.stringContaining("what a command printed"), expect.stringContaining("the log")]);
});

test("so are answers over HTTP where they are a relay's", async () => {
  const body = "postern_canary 1";
  const server = createServer((socket) => {
    socket.once("data", () => socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;

  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const heard = takeHeard();
  await (await fetch(`http://127.0.0.1:${port}/oauth2/v2.0/token`)).text();
  const ofOthers = takeHeard();
  await new Promise((resolve) => server.close(resolve));

  expect(metrics).toBe(body);
  expect(heard).toEqual([expect.stringContaining("/metrics: a secret of a test")]);
  expect(ofOthers).toEqual([]);
});

test("so is what a relay keeps: devices, alerts, transcripts; of the queue all but the mail itself", async () => {
  const folder = await tempDir();
  const data = join(folder.path, "data");
  for (const [name, text] of [
    ["queue/queue.db", `${PAGE} ${DEFAULT_SECRET}`],
    ["receive/devices.json", "canary"],
    ["deliver/transcripts/scans", PAGE],
    ["deliver/listener.key", "BEGIN PRIVATE KEY"],
  ] as const) {
    await mkdir(join(data, name, ".."), { recursive: true });
    await writeFile(join(data, name), text);
  }
  await writeFile(join(folder.path, "secret"), "canary: where it belongs");

  await folder.remove();

  expect(takeHeard().toSorted()).toEqual([
    expect.stringMatching(/^deliver\/transcripts\/scans of a relay: the body of a message/),
    expect.stringMatching(/^queue\/queue\.db of a relay: a secret of the stand-in/),
    expect.stringMatching(/^receive\/devices\.json of a relay: a secret of a test/),
  ]);
});

test("a run in which a secret was printed fails, and says where", async () => {
  const vitest = fileURLToPath(new URL("../../../node_modules/vitest/vitest.mjs", import.meta.url));
  const fixture = fileURLToPath(new URL("../../fixtures/leaks", import.meta.url));

  const { code, stdout, stderr } = await runProcess(process.execPath, [vitest, "run", "--root", fixture, "--no-color"]);
  const said = stdout + stderr;
  takeHeard();

  expect(code).toBe(1);
  expect(said).toMatch(/1 failed \| 1 passed/);
  expect(said).toContain("what must never leave the relay was heard outside");
  expect(said).toMatch(/stdout of \S*node .*: a secret of a test: …the secret is canary~1/);
}, 60_000);
