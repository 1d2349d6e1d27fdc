/** `postern run` as a process: how it starts, what it refuses to start with, and how it ends. */
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { LineClient } from "../fakes/line-client.ts";
import { startScriptedSmtp } from "../fakes/scripted-smtp.ts";
import { makeDevCertificates } from "../support/certificates.ts";
import { freePort } from "../support/ports.ts";
import { tempDir } from "../support/temp-dir.ts";
import { postern, run, writeConfig } from "./process.ts";
import { queueIdOf, submit } from "./submit.ts";

const JOB = { from: "scanner@contoso.com", to: ["anna@contoso.com"], content: "Subject: x\r\n\r\nx\r\n" };

test.each<[string, object]>([
  [
    "secret",
    {
      type: "smtp-auth",
      host: "127.0.0.1",
      authority: "https://127.0.0.1:1",
      mailbox: "scanner@contoso.com",
      credential: { type: "client-secret", client_id: "11111111-2222-3333-4444-555555555555", secret: { file: "not-there" } },
    },
  ],
  ["certificate of a connector", { type: "connector", host: "127.0.0.1", port: 1, certificate: "not-there", key: "not-there" }],
  [
    "password of a smart host",
    {
      type: "smart-host",
      host: "127.0.0.1",
      port: 1,
      tls: "required",
      credential: { type: "password", username: "relay", password: { file: "not-there" } },
    },
  ],
])("with a missing %s it starts, is ready, holds that door with an alarm, accepts mail and holds it", async (_, next) => {
  await using folder = await tempDir();
  const files = await writeConfig(folder.path, 25, {
    organization: { tenant: "contoso.onmicrosoft.com", domains: ["contoso.com"], postmaster: "it@contoso.com" },
    upstreams: { next },
  });

  await using relay = await run(files);
  const held = await relay.waitForEvent("upstream.held");
  const alarm = await relay.waitForEvent("alert.raised");
  const upstreams = await postern(files.configFile, "upstreams");
  const queueId = await submit(relay.port, JOB);
  const ready = await fetch(`http://127.0.0.1:${files.adminPort}/readyz`);
  const list = await postern(files.configFile, "queue", "list", "--json");

  expect(ready.status).toBe(200);
  expect(held).toMatchObject({ upstream: "next", cause: expect.stringContaining("not-there") });
  expect(alarm).toMatchObject({ alert: "upstream.held", subject: "next" });
  expect(upstreams.stdout).toMatch(/^next\t.*\theld\t/m);
  expect(JSON.parse(list.stdout)).toMatchObject({ entries: [{ queueId, state: "held", heldBy: "upstream" }] });
  expect(await relay.stop()).toEqual({ code: 0, signal: null });
});

test("SIGHUP reloads under a message that is coming in; SIGTERM lets it finish, takes no new connection, and exits 0", async () => {
  await using folder = await tempDir();
  const files = await writeConfig(folder.path, await freePort());
  await using relay = await run(files);
  await using device = await LineClient.open(relay.port);
  await device.reply();
  for (const command of ["HELO x", "MAIL FROM:<scanner@contoso.com>", "RCPT TO:<anna@contoso.com>", "DATA"]) await device.say(command);
  const half = `${"x".repeat(76)}\r\n`.repeat(30_000);

  relay.child.kill("SIGHUP");
  await relay.waitForEvent("config.reloaded");
  device.write(`Subject: large\r\n\r\n${half}`);
  relay.child.kill("SIGTERM");
  await relay.waitForEvent("daemon.stopping");
  const late = LineClient.open(relay.port);
  await expect(late).rejects.toThrow(/ECONNREFUSED/);
  device.write(`${half}.\r\n`);
  const queueId = queueIdOf(await device.reply());
  const goodbye = await device.reply();
  await device.end();
  const exit = await relay.exited;

  expect(goodbye).toMatch(/^421 4\.3\.2 /);
  expect(exit).toEqual({ code: 0, signal: null });
  expect(relay.lines.at(-1)).toContain('"daemon.stopped"');
  // The queue can be read without the daemon.
  const list = await postern(files.configFile, "queue", "list", "--json");
  expect(JSON.parse(list.stdout)).toMatchObject({ entries: [{ queueId, recipient: "anna@contoso.com", sizeBytes: expect.any(Number) }] });
  expect((JSON.parse(list.stdout) as { entries: { sizeBytes: number }[] }).entries[0]?.sizeBytes).toBeGreaterThan(2 * half.length);
});

test("a second daemon on the same data_dir exits 69 with one line and leaves the first alone", async () => {
  await using folder = await tempDir();
  const answer = Promise.withResolvers<void>();
  const nextHop = await startScriptedSmtp({ replies: { final: { reply: "250 2.0.0 OK", gate: answer.promise } } });
  try {
    const files = await writeConfig(folder.path, nextHop.port);
    await using relay = await run(files);
    const delivering = nextHop.next("message");
    const queueId = await submit(relay.port, JOB);
    await delivering;

    const second = await postern(files.configFile, "run");
    answer.resolve();
    const finished = await relay.waitForEvent("attempt.finished");

    expect(second.code).toBe(69);
    expect(second.stderr).toMatch(/^postern: [^\n]*data[^\n]*\n$/);
    expect(second.stdout).not.toContain("queue.recovered");
    expect(finished).toMatchObject({ queueId, outcome: "delivered" });
    expect(relay.lines.filter((line) => line.includes("queue.recovered"))).toEqual([]);
    expect(nextHop.messages).toHaveLength(1);
    expect((await fetch(`http://127.0.0.1:${files.adminPort}/readyz`)).status).toBe(200);
    expect(await relay.stop()).toEqual({ code: 0, signal: null });
  } finally {
    await nextHop.close();
  }
});

test("a data_dir that nobody can write to is one line with what to do, and no crash", async () => {
  await using folder = await tempDir();
  // Not even root may make folders in sysfs.
  const files = await writeConfig(folder.path, 25, { data_dir: "/sys/postern" });
  const ended = await postern(files.configFile, "run");

  expect(ended.stderr).toMatch(/^postern: data_dir \/sys\/postern cannot be used: E[A-Z]+: [^\n]*; [^\n]*name another folder\n$/);
  expect(ended.stdout).not.toContain("daemon.crashed");
  // A read-only file system, as in many containers, may be mended by the next start.
  expect(ended.code).toBe(ended.stderr.includes("EROFS") ? 69 : 78);
});

test("a busy port of the API or of monitoring keeps no mail out: it is an alert until the port is free", async () => {
  await using folder = await tempDir();
  const [first, second] = [createServer().listen(0, "127.0.0.1"), createServer().listen(0, "127.0.0.1")];
  await Promise.all([once(first, "listening"), once(second, "listening")]);
  const [api, metrics] = [first, second].map((server) => (server.address() as { port: number }).port);
  const files = await writeConfig(folder.path, 25, {
    admin: { listen: `127.0.0.1:${api}` },
    metrics: { listen: `127.0.0.1:${metrics}` },
  });

  await using relay = await run(files);
  await submit(relay.port, JOB);
  const open = await postern(files.configFile, "status", "--json");
  first.close();
  second.close();
  await relay.waitForEvent("alert.cleared");
  const health = await fetch(`http://127.0.0.1:${api}/readyz`);

  const { alerts } = JSON.parse(open.stdout) as { alerts: { alert: string; subject: string; text: string }[] };
  expect(alerts.filter(({ alert }) => alert === "admin.unbound").map(({ subject, text }) => [subject, text])).toEqual([
    ["admin.listen", expect.stringContaining(`EADDRINUSE; another program listens there: ss -ltnp 'sport = :${api}' names it`)],
    ["metrics.listen", expect.stringContaining(`127.0.0.1:${metrics}: EADDRINUSE`)],
  ]);
  expect(health.status).toBe(200);
}, 60_000);

test("a busy port of a listener is one line and exit 78", async () => {
  await using folder = await tempDir();
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as { port: number };
  const { configFile } = await writeConfig(folder.path, 25, { listeners: { printers: { listen: `127.0.0.1:${port}` } } });

  const ended = await postern(configFile, "run");
  other.close();

  expect(ended.code).toBe(78);
  expect(ended.stderr).toMatch(
    new RegExp(`^postern: [^\\n]*printers[^\\n]*EADDRINUSE[^\\n]*127\\.0\\.0\\.1:${port}; another program listens there[^\\n]*\\n$`),
  );
});

test("a listener certificate that does not fit its key is exit 78, and nothing listens", async () => {
  await using folder = await tempDir();
  const pem = await makeDevCertificates();
  await writeFile(join(folder.path, "relay.pem"), pem["listener.pem"]);
  await writeFile(join(folder.path, "relay.key"), pem["other.key"]);
  const { configFile } = await writeConfig(folder.path, 25, {
    listeners: { printers: { listen: "127.0.0.1:0", tls: { certificate: "relay.pem", key: "relay.key" } } },
  });

  const ended = await postern(configFile, "run");

  expect(ended.code).toBe(78);
  expect(ended.stderr).toMatch(/postern\.yaml:\d+:\d+ listeners\.printers\.tls\.\w+: [^\n]*key/);
  expect(ended.stdout).not.toContain("listener.bound");
});

test("every fault of the file is a line with its place, all at once, without the value of a secret, and exit 78", async () => {
  await using folder = await tempDir();
  const configFile = join(folder.path, "postern.yaml");
  await writeFile(
    configFile,
    `hostname: relay.contoso.com
data_dir: data
organization: { domains: [contoso.com], postmastr: it@contoso.com, postmaster: it@contoso.com }
listeners:
  printers: { listen: 25 }
clients:
  floor: { networks: [10.20.0.1/16], recipients: any }
upstreams:
  next: { type: smart-host, host: mail.contoso.com, credential: { type: password, username: u, password: canary-0815 } }
routes:
  - { name: default, via: [nxt] }
`,
  );

  const [ran, checked] = await Promise.all([postern(configFile, "run"), postern(configFile, "check")]);

  const lines = ran.stderr.trimEnd().split("\n");
  expect([ran.code, checked.code]).toEqual([78, 78]);
  for (const line of lines) expect(line).toMatch(/postern\.yaml:\d+:\d+ [\w.[\]]+: ./);
  for (const place of [":3:", ":5:", ":7:", ":9:"]) expect(ran.stderr).toContain(`postern.yaml${place}`);
  expect(ran.stderr).toContain("postmaster");
  expect(ran.stderr + ran.stdout + checked.stdout + checked.stderr).not.toContain("canary-0815");
});
