/** Reloading a running relay: what is right is taken up while mail flows, what is wrong changes nothing. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { SmtpReceiver } from "../crash/smtp-receiver.ts";
import { LineClient } from "../fakes/line-client.ts";
import { startScriptedSmtp } from "../fakes/scripted-smtp.ts";
import { SyslogServer } from "../fakes/syslog-server.ts";
import { makeDevCertificates } from "../support/certificates.ts";
import { freePort } from "../support/ports.ts";
import { type RunningProcess } from "../support/process.ts";
import { tempDir, type TempDir } from "../support/temp-dir.ts";
import { postern, run, writeConfig, type Files } from "./process.ts";
import { submit } from "./submit.ts";

type Section = Record<string, unknown>;

const JOB = { from: "scanner@contoso.com", to: ["anna@contoso.com"], content: "Subject: scan\r\n\r\nx\r\n" };

let folder: TempDir;
let files: Files;
let relay: RunningProcess & { readonly port: number };
let hop: SmtpReceiver;
let hopPort: number;
/** What the next hop took. */
let arrived: string[];

beforeEach(async () => {
  folder = await tempDir();
  arrived = [];
  hop = new SmtpReceiver((content) => {
    arrived.push(content.toString("latin1"));
    return "250 2.0.0 Ok: taken";
  });
  hopPort = await hop.listen();
});

afterEach(async () => {
  await relay.stop("SIGKILL");
  await hop.close();
  await folder.remove();
});

async function start(changes: Section = {}): Promise<void> {
  files = await writeConfig(folder.path, hopPort, changes);
  relay = await run(files);
}

/** Replaces keys at the top level of the file in one step, as an editor does. */
async function change(keys: Section): Promise<void> {
  const before = JSON.parse(await readFile(files.configFile, "utf8")) as Section;
  await writeFile(`${files.configFile}.new`, JSON.stringify({ ...before, ...keys }, undefined, 2));
  await rename(`${files.configFile}.new`, files.configFile);
}

const reload = (...args: readonly string[]) => postern(files.configFile, "reload", ...args);

/** Every command is a process of its own, which takes seconds where many things run at a time. */
vi.setConfig({ testTimeout: 90_000 });

const smartHost = (port: number, more: Section = {}) => ({ type: "smart-host", host: "127.0.0.1", port, tls: "none", ...more });

test("a file with faults changes nothing and says why; the repaired one is taken up and takes the alert back", async () => {
  await start();
  const good = await readFile(files.configFile, "utf8");
  await writeFile(files.configFile, good.replace('"networks"', '"netwrks"').replace('"1s"', '"1 second"'));

  relay.child.kill("SIGHUP");
  const failed = await relay.waitForEvent("config.reload.failed");
  const alert = await relay.waitForEvent("alert.raised");
  const asked = await reload();
  const json = await reload("--json");
  const queueId = await submit(relay.port, JOB);
  await relay.waitForLine((line) => line.includes('"recipient.delivered"') && line.includes(queueId));
  await writeFile(files.configFile, good.replace('"1s"', '"2s"'));
  const repaired = await reload();
  const cleared = await relay.waitForEvent("alert.cleared");

  const [first, second] = failed["faults"] as string[];
  expect(first).toMatch(/postern\.yaml:\d+:\d+ clients\.floor\.netwrks: .*networks/);
  expect(second).toMatch(/postern\.yaml:\d+:\d+ retry\.first: /);
  expect(alert).toMatchObject({ alert: "config.reload", subject: files.configFile, remedy: expect.stringContaining("postern check") });
  expect(asked).toMatchObject({ code: 78, stdout: "", stderr: `${first}\n${second}\n` });
  expect({ code: json.code, answer: JSON.parse(json.stdout) as unknown }).toEqual({
    code: 78,
    answer: { ok: false, faults: [first, second] },
  });
  expect(arrived).toHaveLength(1);
  expect(repaired).toMatchObject({ code: 0, stdout: "in force now: retry.first\n" });
  expect(cleared).toMatchObject({ alert: "config.reload", subject: files.configFile });
});

test("a start with the repaired file takes the alert of the failed reload back: nothing of before is in force any more", async () => {
  await start();
  const good = await readFile(files.configFile, "utf8");
  await writeFile(files.configFile, good.replace('"networks"', '"netwrks"'));
  relay.child.kill("SIGHUP");
  await relay.waitForEvent("alert.raised");
  await writeFile(files.configFile, good);
  await relay.stop();

  relay = await run(files);
  const cleared = await relay.waitForEvent("alert.cleared");

  expect(cleared).toMatchObject({ alert: "config.reload", subject: files.configFile });
});

test("a new client's device is let in at once, and a session that is open goes on", async () => {
  await start({ clients: { floor: { networks: ["127.0.0.1"] } } });
  await using open = await LineClient.open(relay.port);
  await open.reply();
  await open.say("HELO PRINTER");
  await open.say("MAIL FROM:<scanner@contoso.com>");
  await using before = await LineClient.open(relay.port, "127.0.0.2");
  const refused = await before.reply();
  await change({ clients: { floor: { networks: ["127.0.0.1"] }, annex: { networks: ["127.0.0.2"], recipients: "any" } } });

  const answer = await reload();
  await using after = await LineClient.open(relay.port, "127.0.0.2");
  const greeting = await after.reply();
  const recipient = await open.say("RCPT TO:<anna@contoso.com>");

  expect(refused).toMatch(/^554 5\.7\.1 .*127\.0\.0\.2/);
  expect(answer).toMatchObject({ code: 0, stdout: "in force now: clients.annex\n" });
  expect(greeting).toMatch(/^220 /);
  expect(recipient).toMatch(/^250 /);
});

test("waiting mail leaves by the other door of a changed route, and by a door that was changed", async () => {
  const down = await freePort();
  const upstreams = { first: smartHost(down), second: smartHost(down), third: smartHost(hopPort) };
  await start({
    upstreams,
    routes: [
      { name: "anna", match: { recipients: "anna@contoso.com" }, via: "first" },
      { name: "bruno", match: { recipients: "bruno@contoso.com" }, via: "second" },
      { name: "default", via: "third" },
    ],
    retry: { first: "30m", max: "30m" },
  });
  const anna = await submit(relay.port, JOB);
  const bruno = await submit(relay.port, { ...JOB, to: ["bruno@contoso.com"] });
  for (const id of [anna, bruno]) await relay.waitForLine((line) => line.includes('"recipient.deferred"') && line.includes(id));
  const delivered = (id: string): Promise<string> =>
    relay.waitForLine((line) => line.includes('"recipient.delivered"') && line.includes(id));

  await change({
    routes: [
      { name: "bruno", match: { recipients: "bruno@contoso.com" }, via: "second" },
      { name: "default", via: "third" },
    ],
  });
  const rerouted = await reload();
  const first = await delivered(anna);
  await change({ upstreams: { ...upstreams, second: smartHost(hopPort) } });
  const changed = await reload();
  // The door is another one; when the mail is tried again is still a matter of the schedule, or of the operator.
  await postern(files.configFile, "queue", "retry", bruno);
  const second = await delivered(bruno);

  expect(rerouted).toMatchObject({ code: 0, stdout: "in force now: routes\n" });
  expect(first).toContain('"upstream":"third"');
  expect(changed).toMatchObject({ code: 0, stdout: "in force now: upstreams.second.port\n" });
  expect(second).toContain('"upstream":"second"');
});

test("an authority's file that was repaired in its place is taken up: the door that was held for it is tried at once", async () => {
  const [old, current] = [await makeDevCertificates(), await makeDevCertificates()];
  const secured = await startScriptedSmtp({ tls: { key: current["listener.key"], cert: current["listener.pem"] } });
  onTestFinished(() => secured.close());
  const ca = join(folder.path, "ca.pem");
  await writeFile(ca, old["ca.pem"]);
  await start({ upstreams: { next: smartHost(secured.port, { host: "localhost", tls: "required", ca }) } });
  const queueId = await submit(relay.port, JOB);
  const held = await relay.waitForEvent("recipient.held");

  await writeFile(ca, current["ca.pem"]);
  const repaired = await reload();
  const delivered = await relay.waitForEvent("recipient.delivered");
  const again = await reload();

  expect(held).toMatchObject({ queueId, heldBy: "upstream", cause: expect.stringContaining("certificate is not valid") });
  expect(repaired).toMatchObject({ code: 0, stdout: "in force now: upstreams.next.ca\n" });
  expect(delivered).toMatchObject({ queueId });
  expect(again.stdout).toBe("nothing to take up has changed\n");
});

test("mail whose door is taken away goes the way that the routes say now", async () => {
  const down = await freePort();
  await start({
    upstreams: { first: smartHost(down), third: smartHost(hopPort) },
    routes: [{ name: "default", via: "first" }],
    retry: { first: "30m", max: "30m" },
  });
  const carla = await submit(relay.port, { ...JOB, to: ["carla@contoso.com"] });
  await relay.waitForLine((line) => line.includes('"recipient.deferred"') && line.includes(carla));
  await change({ upstreams: { third: smartHost(hopPort) }, routes: [{ name: "default", via: "third" }] });
  const removed = await reload();
  const third = await relay.waitForLine((line) => line.includes('"recipient.delivered"') && line.includes(carla));

  expect(removed).toMatchObject({ code: 0, stdout: expect.stringContaining("upstreams.first") });
  expect(third).toContain('"upstream":"third"');
});

test("a listener is added, moved and taken away; an address that stays is never closed, and sessions go on", async () => {
  const [extra, moved] = [await freePort(), await freePort()];
  await start();
  const printers = { listen: "127.0.0.1:0" };
  await using open = await LineClient.open(relay.port);
  await open.reply();
  await change({ listeners: { printers: { ...printers, tls: { mode: "opportunistic" } }, extra: { listen: `127.0.0.1:${extra}` } } });

  const added = await reload();
  await using withTls = await LineClient.open(relay.port);
  await withTls.reply();
  const offered = await withTls.say("EHLO PRINTER");
  await using second = await LineClient.open(extra);
  const greeting = await second.reply();
  await change({ listeners: { printers, extra: { listen: `127.0.0.1:${moved}` } } });
  const again = await reload();
  const closed = await relay.waitForEvent("listener.closed");
  await using third = await LineClient.open(moved);
  const movedGreeting = await third.reply();
  const stillThere = [await open.say("NOOP"), await second.say("NOOP")];
  await change({ listeners: { printers, extra: { listen: `127.0.0.1:${hopPort}` } } });
  const taken = await reload();
  await using fourth = await LineClient.open(moved);
  const afterFault = await fourth.reply();

  expect(added).toMatchObject({ code: 0, stdout: "in force now: listeners.printers.tls, listeners.extra\n" });
  expect(offered).toContain("STARTTLS");
  expect(greeting).toMatch(/^220 /);
  expect(again.code).toBe(0);
  expect(closed).toMatchObject({ listener: "extra", port: extra });
  await expect(LineClient.open(extra)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  expect(movedGreeting).toMatch(/^220 /);
  expect(stillThere).toEqual([expect.stringMatching(/^250 /), expect.stringMatching(/^250 /)]);
  expect(taken).toMatchObject({ code: 78, stderr: expect.stringMatching(/listener extra cannot be bound: .*EADDRINUSE/) });
  expect(afterFault).toMatch(/^220 /);
});

test("keys that need a restart are named, keep their old value, and are named again until then", async () => {
  await start();
  await change({ hostname: "other.contoso.com", data_dir: "elsewhere", log: { level: "warn" } });

  relay.child.kill("SIGHUP");
  const reloaded = await relay.waitForEvent("config.reloaded");
  await change({ data_dir: "data" });
  const again = await reload("--json");
  await using device = await LineClient.open(relay.port);
  const greeting = await device.reply();
  await change({ hostname: "relay.contoso.com" });
  const back = await reload();

  expect(reloaded).toMatchObject({ level: "warn", changed: ["log.level"], restart: ["hostname", "data_dir"] });
  expect(JSON.parse(again.stdout)).toMatchObject({ ok: true, restart: ["hostname"] });
  expect(greeting).toMatch(/^220 relay\.contoso\.com /);
  expect(back).toMatchObject({ code: 0, stdout: "nothing to take up has changed\n" });
});

test("what waits for a syslog server that is gone goes to the one that a reload names, and its end after it", async () => {
  const syslog = new SyslogServer();
  const [dead, live] = [await freePort(), await syslog.listen()];
  await start({ alerts: { syslog: { address: `tcp://127.0.0.1:${dead}` } } });
  const good = await readFile(files.configFile, "utf8");
  await writeFile(files.configFile, good.replace('"1s"', '"1 second"'));
  const faulty = await reload();
  const failed = await relay.waitForEvent("alert.notify.failed");
  await writeFile(files.configFile, good.replace(String(dead), String(live)));

  const repaired = await reload();
  const raised = await syslog.message("alert.raised", "config.reload");
  const cleared = await syslog.message("alert.cleared", "config.reload");
  await syslog.close();

  expect(faulty.code).toBe(78);
  expect(failed).toMatchObject({ level: "warn", way: "syslog", cause: `ECONNREFUSED (127.0.0.1:${dead})`, waiting: 1 });
  expect(repaired).toMatchObject({ code: 0, stdout: "in force now: alerts.syslog.address\n" });
  expect(raised).toMatch(/^<20>1 \S+Z relay\.contoso\.com postern \d+ alert\.raised \[postern@32473 alert="config\.reload" /);
  expect(cleared).toMatch(/^<21>1 /);
  expect(syslog.messages).toEqual([raised, cleared]);
});

test("transcripts are kept from a reload on that wants them, on connections that were open before as well", async () => {
  await start({ log: { transcripts: "off" } });
  const delivered = (id: string): Promise<string> =>
    relay.waitForLine((line) => line.includes('"recipient.delivered"') && line.includes(id));
  const before = await submit(relay.port, JOB);
  await delivered(before);
  await change({ log: { transcripts: "all" } });

  const reloaded = await reload();
  const after = await submit(relay.port, JOB);
  await delivered(after);
  const transcripts = await Promise.all([before, after].map((id) => postern(files.configFile, "trace", id, "--transcript")));

  expect(reloaded).toMatchObject({ code: 0, stdout: "in force now: log.transcripts\n" });
  expect(transcripts[0]?.stdout).not.toContain("MAIL FROM:");
  expect(transcripts[1]?.stdout).toContain("MAIL FROM:<scanner@contoso.com>");
  expect(arrived).toHaveLength(2);
});

test("an attempt under way is finished by the door that it began with, and a test mail can follow a reload", async () => {
  const answer = Promise.withResolvers<string>();
  const asked = Promise.withResolvers<void>();
  const slow = new SmtpReceiver(() => {
    asked.resolve();
    return answer.promise;
  });
  const slowPort = await slow.listen();
  await start({ upstreams: { next: smartHost(slowPort) } });
  const queueId = await submit(relay.port, JOB);
  await asked.promise;
  await change({ upstreams: { next: smartHost(hopPort) } });

  const followed = await reload("--test-to", "anna@contoso.com");
  answer.resolve("250 2.0.0 Ok: taken at last");
  const first = await relay.waitForLine((line) => line.includes('"recipient.delivered"') && line.includes(queueId));
  await slow.close();

  expect(followed).toMatchObject({ code: 0, stdout: expect.stringMatching(/^in force now: upstreams\.next\.port\n(.*\n)+/) });
  expect(first).toContain("taken at last");
  expect(arrived).toHaveLength(1);
});
