/** What was said with Microsoft, kept for people: enough to see why, and no secret, token or content in it. */
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { controlSocketPath } from "../../src/admin/admin.ts";
import { openControlClient } from "../../src/cli/control-client.ts";
import type { Transcript } from "../../src/mail/transcript.ts";
import { ANNA, NEVER_LOGGED, SCANNER, startContoso, WRONG_SECRET, type Contoso, type ContosoOptions } from "./tenant.ts";

let contoso: Contoso;
afterEach(async () => {
  try {
    await contoso.expectSound();
  } finally {
    await contoso.close();
  }
});

async function begin(transcripts: string, options: ContosoOptions = {}): Promise<Contoso> {
  contoso = await startContoso({ ...options, more: () => ({ log: { transcripts } }) });
  return contoso;
}

/** As `postern trace ID --transcript` asks for them: those of a message that waits for a door include the last probe of that. */
async function transcriptsOf(queueId: string): Promise<Transcript[]> {
  const control = openControlClient(controlSocketPath(join(contoso.folder, "data")));
  return ((await control.get(`/api/v1/transcripts/${queueId}?upstreams=scans`)) as { transcripts: Transcript[] }).transcripts;
}

const words = (transcript: Transcript | undefined): string[] => transcript?.lines.map(({ from, text }) => `${from} ${text}`) ?? [];

/** The file as it is: what must never be there, in any form. */
async function expectNoSecrets(...more: string[]): Promise<void> {
  const file = await readFile(join(contoso.folder, "data", "deliver", "transcripts", "transcripts.jsonl"), "utf8");
  const canaries = [...NEVER_LOGGED, "Page 1", "Subject", ...more, ...more.map((secret) => Buffer.from(secret).toString("base64"))];
  expect(canaries.filter((canary) => file.includes(canary))).toEqual([]);
}

test("all: a delivered message shows the whole dialogue, the next one on the same connection its own part", async () => {
  const { scan, event } = await begin("all");
  const first = await scan(SCANNER, ANNA);
  await event("recipient.delivered", ({ queueId }) => queueId === first);
  const second = await scan(SCANNER, "bob@contoso.com");
  await event("recipient.delivered", ({ queueId }) => queueId === second);
  const [transcript, ...others] = await transcriptsOf(first);
  expect(others).toEqual([]);
  expect(transcript).toMatchObject({ upstream: "scans", failed: false, tls: "TLSv1.3" });
  const said = words(transcript);
  expect(said[0]).toMatch(/^< 220 /);
  expect(said).toContain("> AUTH XOAUTH2 ***");
  expect(
    said
      .filter((line) => /^(> (EHLO|STARTTLS|MAIL|RCPT|DATA)|- content|< (235|250 2.0.0|354))/.test(line))
      .map((line) => line.slice(0, 12)),
  ).toEqual(
    [
      "> EHLO relay",
      "> STARTTLS",
      "> EHLO relay",
      "< 235 2.7.0 A",
      "> MAIL FROM:",
      "> RCPT TO:<a",
      "> DATA",
      "< 354 Start ",
      "- content of",
      "< 250 2.0.0 ",
    ].map((line) => line.slice(0, 12)),
  );
  const again = words((await transcriptsOf(second))[0]);
  expect(again).toContain("> AUTH XOAUTH2 ***");
  expect(again.filter((line) => line.startsWith("> RCPT"))).toEqual(["> RCPT TO:<bob@contoso.com>"]);
  await expectNoSecrets();
});

test("errors: what was refused is kept, what was delivered is not", async () => {
  const { scan, event, sim } = await begin("errors", {
    prepare: (standIn) => void (standIn.tenant.mailboxes.find(({ address }) => address === SCANNER)!.smtpAuth = false),
  });
  const refused = await scan(SCANNER, ANNA);
  await event("upstream.held");
  const [transcript] = await transcriptsOf(refused);
  expect(words(transcript).slice(-2)).toEqual([
    expect.stringMatching(/^< 535 5\.7\.139 /),
    expect.stringMatching(/^- ended at auth: 535 5\.7\.139 /),
  ]);
  expect(words(transcript)).toContain("> AUTH XOAUTH2 ***");
  sim.tenant.mailboxes.find(({ address }) => address === SCANNER)!.smtpAuth = true;
  contoso.clock.advance(3_600_000);
  await event("recipient.delivered");
  expect((await transcriptsOf(refused)).every(({ failed }) => failed)).toBe(true);
  await expectNoSecrets();
});

test("a token that is refused leaves a transcript although nothing was said by SMTP", async () => {
  const { scan, event } = await begin("errors", { secret: WRONG_SECRET });
  const queueId = await scan(SCANNER, ANNA);
  await event("upstream.held");
  expect(words((await transcriptsOf(queueId))[0])).toEqual([expect.stringMatching(/^- ended at token: AADSTS7000215/)]);
  await expectNoSecrets();
});

test("a wrong password is struck out, in clear and in base64", async () => {
  const password = "canary~wrong~password";
  const { scan, event } = await begin("errors", {
    upstreams: (sim) => ({
      scans: {
        preset: "hve",
        mailbox: "hve@contoso.com",
        port: sim.ports.hve,
        credential: { type: "password", password: { file: "password" } },
      },
    }),
    beforehand: async (_sim, configFile) => await writeFile(join(dirname(configFile), "password"), password),
  });
  const queueId = await scan("hve@contoso.com", ANNA);
  await event("upstream.held");
  const said = words((await transcriptsOf(queueId))[0]);
  expect(said.filter((line) => line.startsWith("> AUTH") || line === "> ***" || line.startsWith("< 334"))).toEqual([
    "> AUTH LOGIN",
    "> ***",
    "> ***",
  ]);
  expect(said.at(-1)).toMatch(/^- ended at auth: 535 /);
  await expectNoSecrets(password);
});

test("Graph: method, path, size, status and error", async () => {
  const { scan, event } = await begin("all", { graph: {}, via: ["graph"] });
  const good = await scan(SCANNER, ANNA);
  await event("recipient.delivered", ({ queueId }) => queueId === good);
  expect(words((await transcriptsOf(good))[0])).toEqual([
    expect.stringMatching(/^> POST \/v1\.0\/users\/scanner%40contoso\.com\/sendMail \(\d+ octets\)$/),
    "< 202 Accepted",
  ]);
  const bad = await scan(SCANNER, "senddenied@contoso.com");
  await event("attempt.finished", ({ queueId }) => queueId === bad);
  const said = words((await transcriptsOf(bad))[0]);
  expect(said[1]).toMatch(/^< 403 ErrorSendAsDenied/);
  expect(said[2]).toMatch(/^- ended at final: 403 /);
  await expectNoSecrets();
});
