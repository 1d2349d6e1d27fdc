/** An operator at work on a running relay whose door is down: every verb over the control socket, then without the daemon. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeSampleScan } from "../../src/cli/sample-scan.ts";
import { SmtpReceiver } from "../crash/smtp-receiver.ts";
import { freePort } from "../support/ports.ts";
import { tempDir, type TempDir } from "../support/temp-dir.ts";
import type { RunningProcess } from "../support/process.ts";
import { postern, run, writeConfig, type Files } from "./process.ts";
import { submit } from "./submit.ts";

let folder: TempDir;
let files: Files;
let nextHopPort: number;
let relay: RunningProcess & { readonly port: number };
/** Three messages that wait: the first was tried, the door is down. */
let ids: string[];

beforeEach(async () => {
  folder = await tempDir();
  nextHopPort = await freePort();
  files = await writeConfig(folder.path, nextHopPort);
  relay = await run(files);
  ids = [];
  for (const to of ["anna@contoso.com", "bruno@contoso.com", "carla@fabrikam.com"]) {
    ids.push(await submit(relay.port, { from: "scanner@contoso.com", to: [to], content: `To: ${to}\r\n\r\nx\r\n` }));
  }
  await relay.waitForEvent("recipient.deferred");
});

afterEach(async () => {
  await relay.stop("SIGKILL");
  await folder.remove();
});

const queue = (...args: readonly string[]) => postern(files.configFile, "queue", ...args);

interface Entry {
  readonly queueId: string;
  readonly recipient: string;
  readonly state: string;
  readonly heldBy?: string;
}

async function entries(...args: readonly string[]): Promise<Entry[]> {
  const { code, stdout } = await queue("list", "--json", ...args);
  expect(code).toBe(0);
  return (JSON.parse(stdout) as { entries: Entry[] }).entries;
}

test("status, list and show tell what waits and why, list and show without the daemon too; what needs it then says so with 69", async () => {
  const [first = ""] = ids;

  const [status, listed, shown] = await Promise.all([postern(files.configFile, "status", "--json"), entries(), queue("show", first)]);
  await relay.stop();
  const [listedAfter, shownAfter, held, deleted, statusAfter] = await Promise.all([
    entries(),
    queue("show", first),
    queue("hold", first),
    queue("delete", "--all"),
    postern(files.configFile, "status"),
  ]);

  expect(status.code).toBe(0);
  // The next hop is down: nobody may be told that the door is open.
  expect(JSON.parse(status.stdout)).toMatchObject({ upstreams: [{ trouble: { cause: expect.stringMatching(/ECONNREFUSED/) } }] });
  expect(JSON.parse(status.stdout)).toMatchObject({
    version: { postern: expect.any(String), node: process.versions.node, sqlite: expect.any(String) },
    pid: relay.pid,
    startedAt: expect.any(Number),
    ready: { ok: true, reasons: [] },
    listeners: [{ name: "printers", address: "127.0.0.1", port: relay.port, tls: "none" }],
    queue: {
      accepted: 3,
      generated: 0,
      waiting: { queued: expect.any(Number), delivering: expect.any(Number), deferred: expect.any(Number), held: 0 },
      final: { delivered: 0, bounced: 0, expired: 0, deleted: 0 },
      oldestAcceptedAt: expect.any(Number),
      freeBytes: expect.any(Number),
    },
    upstreams: [{ name: "next", type: "smart-host", host: "127.0.0.1", port: nextHopPort, waiting: 3 }],
    residentBytes: expect.any(Number),
  });
  expect([listed, listedAfter].map((list) => list.map(({ queueId }) => queueId))).toEqual([ids, ids]);
  for (const { code, stdout } of [shown, shownAfter]) {
    expect(code).toBe(0);
    expect(stdout).toMatch(/anna@contoso\.com: (deferred|queued|delivering) on next/);
    expect(stdout).toMatch(/ECONNREFUSED/);
    expect(stdout).toMatch(/remedy: .*firewall/);
  }
  for (const refused of [held, deleted, statusAfter]) {
    expect(refused.code).toBe(69);
    expect(refused.stderr).toMatch(/^postern: the daemon is not running[^\n]*\n$/);
  }
});

test("hold, delete, release and retry do what they say, and the history tells who did it", async () => {
  const [, second = "", third = ""] = ids;
  const contents: string[] = [];
  const nextHop = new SmtpReceiver((content) => {
    contents.push(content.toString("latin1"));
    return "250 2.0.0 Ok: taken";
  });

  const [held, asked, deleted] = await Promise.all([
    queue("hold", second),
    queue("delete", "--to", "carla@fabrikam.com"),
    queue("delete", third, "--json"),
  ]);
  await relay.waitForEvent("recipient.deleted");
  const heldEntries = await entries("--state", "held");
  await nextHop.listen(nextHopPort);
  const [released, retried] = await Promise.all([queue("release", second), queue("retry", "--upstream", "next")]);
  for (const id of ids.slice(0, 2)) await relay.waitForLine((line) => line.includes('"recipient.delivered"') && line.includes(id));
  await nextHop.close();
  const shown = await queue("show", second, "--json");

  expect(held).toMatchObject({ code: 0, stdout: "1 recipient of 1 message held\n" });
  expect(asked).toMatchObject({ code: 64, stderr: expect.stringContaining("--yes") });
  expect(deleted).toMatchObject({ code: 0, stdout: expect.stringContaining("carla@fabrikam.com") });
  expect(heldEntries).toMatchObject([{ queueId: second, heldBy: "operator" }]);
  expect(released).toMatchObject({ code: 0, stdout: "1 recipient of 1 message released\n" });
  expect(retried.code).toBe(0);
  expect(contents).toHaveLength(2);
  expect(new Set(contents.map((content) => /^To: (.*)\r$/m.exec(content)?.[1]))).toEqual(
    new Set(["anna@contoso.com", "bruno@contoso.com"]),
  );
  const { history } = JSON.parse(shown.stdout) as { history: { what: string; by?: string }[] };
  expect(history.filter(({ what }) => what !== "retry")).toMatchObject([
    { what: "hold", by: expect.any(String) },
    { what: "release", by: expect.any(String) },
  ]);
});

test("mail that is given up ends as bounced, deferred or held, and its sender gets the report once the door is there again", async () => {
  const [first = "", second = "", third = ""] = ids;
  const contents: string[] = [];
  const nextHop = new SmtpReceiver((content) => {
    contents.push(content.toString("latin1"));
    return "250 2.0.0 Ok: taken";
  });
  await queue("hold", second);

  const asked = await queue("bounce", "--to", "bruno");
  const [bounced, others] = [await queue("bounce", second), await queue("bounce", "--to", "anna", "--yes", "--json")];
  const acted = await relay.waitForEvent("operator.acted");
  const [shown, exported] = [await queue("show", second), await queue("export", second)];
  await nextHop.listen(nextHopPort);
  await queue("retry", "--all");
  // To the sender, and to the postmaster.
  for (const what of [third, '"recipient":"scanner@contoso.com"', '"recipient":"it@contoso.com"'])
    await relay.waitForLine((line) => line.includes('"recipient.delivered"') && line.includes(what));
  await nextHop.close();
  const metrics = await (await fetch(`http://127.0.0.1:${files.adminPort}/metrics`)).text();
  const status = JSON.parse((await postern(files.configFile, "status", "--json")).stdout) as { queue: Record<string, unknown> };

  expect(asked).toMatchObject({ code: 64, stderr: expect.stringContaining("--yes") });
  expect(bounced).toMatchObject({ code: 0, stdout: "1 recipient of 1 message bounced\n" });
  expect(JSON.parse(others.stdout)).toMatchObject({ changed: [{ queueId: first, recipient: "anna@contoso.com" }], busy: 0 });
  expect(acted).toMatchObject({ operator: expect.any(String), declared: true });
  expect(shown.stdout).toMatch(/bruno@contoso\.com: bounced on next\n +given up by \S+/);
  expect(shown.stdout).toMatch(/bounce by \S+/);
  expect(exported.stdout).toMatch(/^X-Postern-Id: /m);
  expect(exported.stdout).toMatch(/^To: bruno@contoso\.com\r$/m);
  expect(shown.stdout).toContain(`still to be had: postern queue export ${second}`);
  expect(metrics).toContain('postern_recipients_total{state="bounced",upstream="next"} 2');
  // Of two equal failures the first is told at once, to both; the second with others at the end of the hour.
  expect(status.queue).toMatchObject({
    accepted: 3,
    generated: 2,
    waiting: { queued: 0, delivering: 0, deferred: 0, held: 0 },
    final: { delivered: 3, bounced: 2, expired: 0, deleted: 0 },
  });
  const report = contents.find((content) => /^To: <scanner@contoso\.com>\r$/m.test(content));
  expect(report).toMatch(/^Subject: Not delivered: /m);
  expect(report).toContain("bruno@contoso.com");
  expect(report).toContain("given up by ");
});

test(
  "a kill in the middle of giving much up leaves each message given up with its report, or held as before",
  { timeout: 60_000 },
  async () => {
    const contents: string[] = [];
    const nextHop = new SmtpReceiver((content) => {
      contents.push(content.toString("latin1"));
      return "250 2.0.0 Ok: taken";
    });
    await queue("hold", "--all");
    const many = Array.from({ length: 240 }, (_entry, at) => `r${at}@contoso.com`);
    for (const to of many) await submit(relay.port, { from: "scanner@contoso.com", to: [to], content: `To: ${to}\r\n\r\nx\r\n` });
    // What is being tried at that moment is held the next time.
    const atLarge = async (): Promise<number> => {
      await queue("hold", "--all");
      return (await entries("--state", "queued,deferred,delivering")).length;
    };
    await expect.poll(atLarge, { timeout: 30_000 }).toBe(0);

    // Whoever is killed with the relay gets no answer: what it did until then is what counts.
    const asked = queue("bounce", "--all", "--yes");
    await relay.waitForEvent("recipient.bounced");
    await relay.stop("SIGKILL");
    await asked;
    await nextHop.listen(nextHopPort);
    relay = await run(files);
    // One that was tried before the kill found no next hop there, and would wait for its time.
    await queue("retry", "--state", "deferred");
    // Of two equal failures the first is told at once, to the sender and to the postmaster.
    for (const to of ["scanner@contoso.com", "it@contoso.com"])
      await relay.waitForLine((line) => line.includes('"recipient.delivered"') && line.includes(`"recipient":"${to}"`));
    await nextHop.close();

    const status = JSON.parse((await postern(files.configFile, "status", "--json")).stdout) as {
      queue: { accepted: number; generated: number; waiting: Record<string, number>; final: Record<string, number> };
    };
    const { accepted, generated, waiting, final } = status.queue;
    const all = await entries("--limit", "1000", "--state", "held,bounced,queued,deferred,delivering,delivered,expired,deleted");
    const ofMail = all.filter(({ recipient }) => recipient !== "scanner@contoso.com" && recipient !== "it@contoso.com");
    expect({ accepted, generated }).toEqual({ accepted: 243, generated: 2 });
    expect(Object.values({ ...waiting, ...final }).reduce((sum, count) => sum + count, 0)).toBe(245);
    expect(ofMail).toHaveLength(243);
    for (const { state, heldBy } of ofMail)
      expect([state, heldBy]).toEqual(state === "bounced" ? ["bounced", undefined] : ["held", "operator"]);
    expect(final["bounced"]).toBeGreaterThan(0);
    expect(contents.map((content) => /^Subject: (\w+ \w+)/m.exec(content)?.[1])).toEqual(["Not delivered", "Not delivered"]);
    const db = new DatabaseSync(join(folder.path, "data", "queue", "queue.db"), { readOnly: true });
    const postponed = db.prepare("SELECT count(entry) AS n FROM postponed WHERE addressee = 'scanner@contoso.com'").get()?.["n"];
    db.close();
    // All but the first wait for the end of the hour, none is forgotten.
    expect(postponed).toBe((final["bounced"] ?? 0) - 1);
  },
);

test("show previews what is stored, with the daemon and without it; what has left is one line", async () => {
  const [first = ""] = ids;
  const scan = makeSampleScan({ from: "scanner@contoso.com", to: "anna@contoso.com", subject: "=?utf-8?Q?Num=C3=A9ro_7?=" });
  const id = await submit(relay.port, { from: "scanner@contoso.com", to: ["anna@contoso.com"], content: scan });
  await queue("delete", first, "--yes");

  const [shown, json, plain, gone] = [
    await queue("show", id),
    await queue("show", id, "--json"),
    await queue("show", id, "--no-preview"),
    await queue("show", first),
  ];
  await relay.stop();
  const [shownAfter, goneAfter] = [await queue("show", id), await queue("show", first, "--json")];

  expect(shown).toMatchObject({ code: 0, stderr: "" });
  expect(shownAfter).toMatchObject({ code: 0, stderr: "postern: the daemon is not running: this is what its files say\n" });
  for (const { stdout } of [shown, shownAfter]) {
    expect(stdout).toMatch(/^ {2}Subject +Numéro 7$/m);
    expect(stdout).toMatch(/^ {2}\| Scanned document is attached\.$/m);
    expect(stdout).toMatch(/^Attachments\n {2}SCAN0001\.pdf, application\/pdf, \d\.\d MiB$/m);
  }
  expect(JSON.parse(json.stdout)).toMatchObject({
    message: { queueId: id },
    preview: { attachments: [{ name: "SCAN0001.pdf", type: "application/pdf", complete: true }], cut: [] },
  });
  expect(plain.code).toBe(0);
  expect(plain.stdout).not.toContain("Scanned document");
  expect(gone.stdout).toMatch(
    /^no preview: the content is deleted by now: of mail that has left at once, of mail that failed after history.failed_content$/m,
  );
  expect(JSON.parse(goneAfter.stdout)).toMatchObject({
    preview: {
      unavailable: "the content is deleted by now: of mail that has left at once, of mail that failed after history.failed_content",
    },
  });
});
