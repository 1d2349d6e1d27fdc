/** The API over the network as an administrator sets it up: configuration, tokens, TLS; with curl and openssl on the other side. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RELOAD_ROUTES } from "../../src/admin/api/reload.ts";
import { formatTime } from "../../src/cli/table.ts";
import { SmtpReceiver } from "../crash/smtp-receiver.ts";
import { makeTestAuthority } from "../fakes/test-ca.ts";
import { runProcess, startProcess, type RunningProcess } from "../support/process.ts";
import { tempDir, type TempDir } from "../support/temp-dir.ts";
import { hasTool } from "../support/tools.ts";
import { PROGRAM, SOURCE } from "../support/postern.ts";
import { postern, run, writeConfig, type Files } from "./process.ts";
import { submit } from "./submit.ts";

/** Every command is a process of its own, which takes seconds where many things run at a time. */
vi.setConfig({ testTimeout: 90_000 });

const authority = makeTestAuthority();

let folder: TempDir;
let files: Files;
let hop: SmtpReceiver;
let hopPort: number;
let relay: (RunningProcess & { readonly port: number }) | undefined;

beforeEach(async () => {
  folder = await tempDir();
  hop = new SmtpReceiver(() => "250 2.0.0 Ok: taken");
  hopPort = await hop.listen();
  await writeFile(join(folder.path, "ca.pem"), authority.ca);
  await writePair("relay.contoso.com", "localhost", "127.0.0.1");
});

afterEach(async () => {
  await relay?.stop("SIGKILL");
  relay = undefined;
  await hop.close();
  await folder.remove();
});

async function writePair(...names: readonly string[]): Promise<void> {
  const { cert, key } = authority.issue(names);
  await writeFile(join(folder.path, "relay.pem"), cert);
  await writeFile(join(folder.path, "relay.key"), key);
}

const TLS = { certificate: "relay.pem", key: "relay.key" };

/** A configuration whose admin listener is on every address, with TLS unless told. */
async function configure(tls: object | null = TLS): Promise<void> {
  files = await writeConfig(folder.path, hopPort);
  await change({ admin: { listen: `0.0.0.0:${files.adminPort}`, ...(tls === null ? {} : { tls }) } });
}

/** Replaces keys at the top level of the file in one step, as an editor does. */
async function change(keys: Readonly<Record<string, unknown>>): Promise<void> {
  const before = JSON.parse(await readFile(files.configFile, "utf8")) as object;
  await writeFile(`${files.configFile}.new`, JSON.stringify({ ...before, ...keys }, undefined, 2));
  await rename(`${files.configFile}.new`, files.configFile);
}

async function addToken(name: string, role: string, ...more: readonly string[]): Promise<string> {
  const { code, stdout } = await postern(files.configFile, "token", "add", name, "--role", role, ...more);
  expect(code).toBe(0);
  return stdout.trim();
}

interface Got {
  readonly status: number;
  readonly body: string;
}

/** What curl is answered. The token goes in by a file, so that no list of processes shows it. */
async function curl(path: string, token: string | undefined, ...more: readonly string[]): Promise<Got> {
  const header = join(folder.path, "header");
  await writeFile(header, token === undefined ? "X-Nothing: here\n" : `Authorization: Bearer ${token}\n`, { mode: 0o600 });
  const trusting = ["--silent", "--show-error", "--cacert", join(folder.path, "ca.pem"), "--header", `@${header}`];
  const url = `https://localhost:${files.adminPort}${path}`;
  const { stdout, stderr, code } = await runProcess("curl", [...trusting, "--write-out", "\n%{http_code}", ...more, url]);
  if (code !== 0) throw new Error(stderr);
  const end = stdout.lastIndexOf("\n");
  return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) };
}

const posting = (body: object): string[] => ["--header", "Content-Type: application/json", "--data", JSON.stringify(body)];

test("beyond loopback nothing starts without TLS, nor without a token; the line says what to type, and that works before the first start", async () => {
  await configure(null);
  const plain = await Promise.all([postern(files.configFile, "check"), postern(files.configFile, "run")]);
  await configure();
  const strange = await Promise.all([postern(files.configFile, "check"), postern(files.configFile, "run")]);
  const added = await postern(files.configFile, "token", "add", "first", "--role", "viewer", "--expires", "90d");
  const right = await postern(files.configFile, "check");
  relay = await run(files);

  for (const { code, stderr } of plain) {
    expect(code).toBe(78);
    expect(stderr).toMatch(/postern\.yaml:\d+:\d+ admin\.listen: expected a loopback address .* or admin\.tls/);
  }
  for (const { code, stderr } of strange) {
    expect(code).toBe(78);
    expect(stderr).toMatch(/postern\.yaml:\d+:\d+ admin\.listen: .*nobody has a token yet: type postern token add/);
  }
  expect(added).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^postern_[\w-]{43}\n$/),
    stderr: expect.stringContaining("viewer"),
  });
  expect(right.code).toBe(0);
});

test("a relay that nobody with a token asks loads nothing of the API: not for monitoring, not for a stranger", async () => {
  files = await writeConfig(folder.path, hopPort);
  const token = await addToken("wall", "viewer");
  // From the sources, where each package has files of its own.
  const process = await run(files, ["--import", new URL("../support/tell-loaded.ts", import.meta.url).href], SOURCE);
  relay = process;
  const url = `http://127.0.0.1:${files.adminPort}`;
  const loaded = (): Set<string> =>
    new Set(process.lines.flatMap((line) => (line.startsWith(`loaded ${process.pid} `) ? (line.split(" ")[2] ?? "") : [])));

  await (await fetch(`${url}/metrics`)).text();
  const stranger = await fetch(`${url}/api/v1/status`);
  await stranger.text();
  const before = loaded();
  const asked = await fetch(`${url}/api/v1/status`, { headers: { authorization: `Bearer ${token}` } });
  await asked.text();
  await process.waitForLine((line) => line === `loaded ${process.pid} zod`);

  expect([stranger.status, asked.status]).toEqual([401, 200]);
  expect(before).toContain("smtp-server");
  expect([...before].filter((name) => ["zod", "hono", "@hono/node-server", "yaml"].includes(name))).toEqual([]);
});

/** At the end says on one line what Node itself has loaded for a process. */
const TELL_OWN = `data:text/javascript,process.once("exit",()=>process.stderr.write(process.moduleLoadList.join()+"\\n"))`;

test("a relay that only relays compiles no client of the web", async () => {
  files = await writeConfig(folder.path, hopPort);
  const process = await run(files, ["--import", TELL_OWN]);
  relay = process;
  await (await fetch(`http://127.0.0.1:${files.adminPort}/metrics`)).text();
  await submit(relay.port, { from: "scanner@contoso.com", to: ["anna@contoso.com"], content: "Subject: x\r\n\r\nx\r\n" });
  await relay.waitForEvent("recipient.delivered");
  // Its API, which all are asked at their end, does need one.
  process.child.kill("SIGTERM");
  await process.exited;

  const ofNode = process.lines.find((line) => line.includes("NativeModule http"));
  expect(ofNode).toBeDefined();
  expect(ofNode).not.toContain("undici");
});

describe.skipIf(!hasTool("curl"))("with curl", () => {
  test("a viewer looks, an operator acts under the token's name, a revoked one does nothing; no token is ever logged", async () => {
    await configure();
    await change({ upstreams: { next: { type: "smart-host", host: "127.0.0.1", port: 9, tls: "none" } } });
    const viewer = await addToken("wall", "viewer");
    relay = await run(files);
    const operator = await addToken("portal", "operator");
    const queueId = await submit(relay.port, {
      from: "scanner@contoso.com",
      to: ["anna@contoso.com"],
      content: "Subject: x\r\n\r\nsecret plan\r\n",
    });
    await relay.waitForEvent("recipient.deferred");

    const looked = await curl(`/api/v1/queue/${queueId}`, viewer);
    const forbidden = await curl("/api/v1/queue/hold", viewer, ...posting({ ids: [queueId] }));
    const content = await curl(`/api/v1/queue/${queueId}/content`, operator);
    const held = await curl("/api/v1/queue/hold", operator, ...posting({ ids: [queueId] }));
    const acted = await relay.waitForLine((line) => line.includes('"verb":"hold"'));
    const shown = await postern(files.configFile, "queue", "show", queueId, "--json");
    const listed = await postern(files.configFile, "token", "list");
    const revoked = await postern(files.configFile, "token", "revoke", "portal");
    const after = await curl("/api/v1/queue", operator);
    const nobody = await curl("/api/v1/queue", undefined);
    const metrics = await curl("/metrics", undefined);

    expect(JSON.parse(looked.body)).toMatchObject({ message: { queueId, reversePath: "scanner@contoso.com" }, hasContent: true });
    expect(looked.body).not.toContain("secret plan");
    expect(forbidden).toMatchObject({ status: 403, body: expect.stringContaining("needs the role operator") });
    expect(content.body).toContain("secret plan");
    expect(JSON.parse(held.body)).toMatchObject({ changed: [{ queueId, recipient: "anna@contoso.com" }] });
    expect(JSON.parse(acted)).toMatchObject({ event: "operator.acted", operator: "portal", declared: false });
    expect(JSON.parse(shown.stdout)).toMatchObject({ history: expect.arrayContaining([expect.objectContaining({ by: "portal" })]) });
    expect(listed.stdout).toMatch(/^wall\tviewer\t.*\tnever\t\d{4}-/m);
    expect(revoked.code).toBe(0);
    expect([after.status, nobody.status, metrics.status]).toEqual([401, 401, 200]);
    expect(metrics.body).toContain('postern_api_refusals_total{reason="role"} 1');
    expect(relay.lines.filter((line) => [viewer, operator].some((token) => line.includes(token)))).toEqual([]);
    expect(await readFile(join(folder.path, "data", "deliver", "tokens.json"), "utf8")).not.toContain(viewer.slice(8));
  });

  test("whoever listens hears what becomes of a mail, by curl and by the command, until the relay stops", async () => {
    files = await writeConfig(folder.path, hopPort);
    await change({ organization: { domains: ["contoso.com"], postmaster: "it@contoso.com", time_zone: "Asia/Kolkata" } });
    const token = await addToken("wall", "viewer");
    relay = await run(files);
    const url = `http://127.0.0.1:${files.adminPort}/api/v1/events?types=message.accepted,recipient.*`;
    await writeFile(join(folder.path, "header"), `Authorization: Bearer ${token}\n`);
    await using byCurl = await startProcess("curl", ["--silent", "--no-buffer", "--header", `@${join(folder.path, "header")}`, url]);
    await byCurl.waitForLine((line) => line.startsWith("retry:"));
    await using byCommand = await startProcess(process.execPath, [
      PROGRAM,
      "events",
      "--types",
      "recipient.*",
      "--config",
      files.configFile,
    ]);
    // That it listens is known by what it prints: mail is sent until it does.
    const isDelivered = (line: string): boolean => line.includes("recipient.delivered");
    let queueId = "";
    while (!byCommand.lines.some(isDelivered)) {
      queueId = await submit(relay.port, { from: "scanner@contoso.com", to: ["anna@contoso.com"], content: "Subject: s\r\n\r\nx\r\n" });
      await relay.waitForLine((line) => line.includes('"recipient.delivered"') && line.includes(queueId));
    }
    const data = await byCurl.waitForLine(
      (line) => line.startsWith("data:") && line.includes("recipient.delivered") && line.includes(queueId),
    );

    await byCommand.waitForLine((line) => line.includes(queueId));

    await relay.stop();
    const [curlExit, commandExit] = await Promise.all([byCurl.exited, byCommand.exited]);

    expect(JSON.parse(data.slice("data: ".length))).toMatchObject({
      id: expect.any(String),
      time: expect.any(Number),
      type: "recipient.delivered",
      queueId,
      recipient: "anna@contoso.com",
      upstream: "next",
    });
    // In the time of the other commands, half an hour off that of the log.
    const { time } = JSON.parse(data.slice("data: ".length)) as { time: number };
    const shown = `${formatTime(time, "Asia/Kolkata").slice(11)}.${String(time % 1000).padStart(3, "0")}`;
    expect(byCommand.lines.find((line) => line.includes(queueId))).toMatch(
      new RegExp(String.raw`^${shown.replaceAll(".", "[.]")} INFO +recipient\.delivered queueId=`),
    );
    expect(curlExit.code).toBe(0);
    expect(byCurl.lines).toContain('data: {"reason":"stopping"}');
    expect(commandExit.code).toBe(69);
    expect(byCommand.lines).toContain("postern: the relay is stopping");
  });

  test("a fault elsewhere in the file keeps nobody from taking a token back", async () => {
    await configure();
    await addToken("lost", "operator");
    await change({ routs: [] });

    const revoked = await postern(files.configFile, "token", "revoke", "lost");
    const listed = await postern(files.configFile, "token", "list");

    expect(revoked).toMatchObject({ code: 0, stderr: "" });
    expect(listed).toMatchObject({ code: 0, stderr: "there is no token\n" });
  });

  test("a damaged file of tokens opens nothing, raises an alert, and mail goes on", async () => {
    await configure();
    const token = await addToken("wall", "administrator");
    const file = join(folder.path, "data", "deliver", "tokens.json");
    const good = await readFile(file, "utf8");
    await writeFile(file, good.slice(0, 40));

    relay = await run(files);
    const raised = await relay.waitForEvent("alert.raised");
    const refused = await curl("/api/v1/status", token);
    const command = await postern(files.configFile, "token", "add", "other", "--role", "viewer");
    const queueId = await submit(relay.port, { from: "scanner@contoso.com", to: ["anna@contoso.com"], content: "Subject: x\r\n\r\nx\r\n" });
    await relay.waitForLine((line) => line.includes('"recipient.delivered"') && line.includes(queueId));
    await writeFile(file, good);
    const repaired = await curl("/api/v1/version", token);
    await relay.waitForEvent("alert.cleared");

    expect(raised).toMatchObject({ alert: "tokens.file", text: expect.stringContaining("damaged") });
    expect(refused.status).toBe(503);
    expect(command).toMatchObject({ code: 69, stderr: expect.stringContaining("move it away") });
    expect(repaired.status).toBe(200);
  });

  test("a reload takes up another address, TLS and a renewed certificate; one that does not fit changes nothing", async () => {
    files = await writeConfig(folder.path, hopPort);
    const token = await addToken("portal", "administrator");
    relay = await run(files);
    const plain = await fetch(`http://127.0.0.1:${files.adminPort}/api/v1/version`, { headers: { authorization: `Bearer ${token}` } });
    await change({ admin: { listen: `0.0.0.0:${files.adminPort}`, tls: TLS } });

    const first = await postern(files.configFile, "reload");
    const secured = await curl("/api/v1/version", token);
    await writeFile(join(folder.path, "relay.pem"), "nothing");
    const faulty = await postern(files.configFile, "reload");
    const still = await curl("/api/v1/version", token);
    await writePair("localhost");
    const renewed = await curl("/api/v1/reload", token, ...posting({}));
    const line = await relay.waitForLine((one) => one.includes('"config.reloaded"') && one.includes('"portal"'));

    expect(plain.status).toBe(200);
    expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/in force now: .*admin\.listen.*admin\.tls/) });
    expect(secured.status).toBe(200);
    expect(faulty).toMatchObject({ code: 78, stderr: expect.stringContaining("admin.tls.certificate") });
    expect(still.status).toBe(200);
    expect(RELOAD_ROUTES[0]?.answer.parse(JSON.parse(renewed.body))).toMatchObject({ ok: true });
    expect(JSON.parse(line)).toMatchObject({ operator: "portal" });
  });
});

describe.skipIf(!hasTool("openssl"))("with openssl", () => {
  test("TLS 1.2 and 1.3 are spoken with the certificate that is configured; 1.1 and plain HTTP are not", async () => {
    await configure();
    await addToken("wall", "viewer");
    relay = await run(files);
    const to = ["-connect", `localhost:${files.adminPort}`, "-servername", "localhost"];
    const verifying = ["-verify_hostname", "localhost", "-CAfile", join(folder.path, "ca.pem"), "-verify_return_error"];
    const handshake = (...more: readonly string[]) => runProcess("openssl", ["s_client", ...to, ...verifying, ...more]);

    const [new3, new2, old, plain] = await Promise.all([
      handshake("-tls1_3"),
      handshake("-tls1_2"),
      handshake("-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"),
      fetch(`http://localhost:${files.adminPort}/healthz`).then(
        () => "answered",
        () => "refused",
      ),
    ]);

    expect([new3.code, new2.code]).toEqual([0, 0]);
    expect([new3.stdout, new2.stdout]).toEqual([expect.stringContaining("TLSv1.3"), expect.stringContaining("TLSv1.2")]);
    expect(old.code).not.toBe(0);
    expect(plain).toBe("refused");
  });
});

test.each([
  [["token", "add", "x"], "--role"],
  [["token", "add", "x", "--role", "god"], "viewer, operator, administrator"],
  [["token", "add", "a b", "--role", "viewer"], "name"],
  [["token", "add", "x", "--role", "viewer", "--expires", "soon"], "--expires"],
  [["token", "revoke", "nobody"], "there is no token nobody"],
])("postern %j is a fault of usage that says %s", async (args, said) => {
  await configure();

  expect(await postern(files.configFile, ...args)).toMatchObject({ code: 64, stdout: "", stderr: expect.stringContaining(said) });
});
