/** From nothing to a delivered mail with the assistant alone; and what it writes for each door. */
import { X509Certificate } from "node:crypto";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PROGRAM } from "../support/postern.ts";
import { usedKeys } from "../support/keys.ts";
import { startSimulator, type Simulator } from "../../src/simulator/simulator.ts";
import { DEFAULT_CLIENT_ID, DEFAULT_SECRET } from "../../src/simulator/tenant.ts";
import { freePort } from "../support/ports.ts";
import { runProcess, type RunningProcess } from "../support/process.ts";
import { tempDir, type TempDir } from "../support/temp-dir.ts";
import { hasTool } from "../support/tools.ts";
import { postern, run } from "./process.ts";

let folder: TempDir;
let configFile: string;

beforeEach(async () => {
  folder = await tempDir();
  configFile = join(folder.path, "postern.yaml");
});

afterEach(() => folder.remove());

/** Runs the assistant on answers. */
async function setup(answers: Readonly<Record<string, unknown>>, ...args: readonly string[]): ReturnType<typeof runProcess> {
  const file = join(folder.path, "answers.yaml");
  await writeFile(file, JSON.stringify(answers));
  return await postern(configFile, "setup", "--answers", file, ...args);
}

const BASE = { domains: ["contoso.com"], networks: ["127.0.0.0/8"], data_dir: "data", time_zone: "UTC", postmaster: "it@contoso.com" };

describe("with the stand-in as tenant", () => {
  let sim: Simulator;
  let relay: RunningProcess | undefined;

  beforeEach(async () => {
    sim = await startSimulator({ keys: usedKeys(), directory: join(folder.path, "stand-in"), submission: { tarpitMs: 0 } });
  });

  afterEach(async () => {
    await relay?.stop("SIGKILL");
    relay = undefined;
    await sim.close();
  });

  test("answers, setup, run, doctor and a test mail are all it takes", async () => {
    await writeFile(join(folder.path, "secret"), DEFAULT_SECRET, { mode: 0o600 });
    const made = await setup({
      ...BASE,
      listen: "127.0.0.1:0",
      doors: ["mailbox"],
      tenant: "contoso.onmicrosoft.com",
      mailbox: "scanner@contoso.com",
      credential: "secret",
      client_id: DEFAULT_CLIENT_ID,
      secret_file: "secret",
      overrides: { mailbox: { host: "127.0.0.1", port: sim.ports.submission, authority: sim.authority, ca: "stand-in/ca.pem" } },
    });
    // The monitoring port of a machine that runs several of these at once must be free.
    const further = [`admin: { listen: "127.0.0.1:${await freePort()}" }`, `network: { dns: { servers: ["127.0.0.1:${sim.ports.dns}"] } }`];
    await writeFile(configFile, `${await readFile(configFile, "utf8")}${further.join("\n")}\n`);
    const checked = await postern(configFile, "check");
    relay = await run({ configFile, adminPort: 0 });

    const examined = await postern(configFile, "doctor");
    const tested = await postern(configFile, "test", "--to", "anna@contoso.com");

    expect(made).toMatchObject({ code: 0, stderr: "" });
    expect(checked).toMatchObject({ code: 0, stdout: `${configFile}: ok\n` });
    expect(examined).toMatchObject({ code: 0, stderr: "" });
    expect(tested.code).toBe(0);
    expect(sim.messages({ recipient: "anna@contoso.com" })).toHaveLength(1);
  });
});

describe("what is written", () => {
  test.each([
    ["mailbox", ["smtp-auth"], ["SmtpClientAuthenticationDisabled $false", "Application SMTP.SendAsApp", "New-ManagementScope"], 0],
    ["graph", ["graph"], ["Application Mail.Send", "New-ManagementScope"], 0],
    ["connector-certificate", ["connector"], ["-TlsSenderCertificateName 'relay.contoso.com'"], 1],
    ["connector-address", ["connector"], ["-SenderIPAddresses 203.0.113.7"], 1],
    ["direct-send", ["direct-send"], ["RejectDirectSend"], 1],
    ["high-volume", ["smtp-auth"], ["High volume email"], 0],
  ])("for %s is a configuration that check accepts, with its own steps and no others", async (door, types, steps, records) => {
    const everyStep = [
      "SmtpClientAuthenticationDisabled",
      "Application SMTP.SendAsApp",
      "Application Mail.Send",
      "TlsSenderCertificateName",
      "SenderIPAddresses",
      "Get-OrganizationConfig",
      "High volume email",
    ];
    await writeFile(join(folder.path, "password"), "x", { mode: 0o600 });
    const made = await setup(
      {
        ...BASE,
        recipients: "internal",
        doors: [door],
        tenant: "contoso.onmicrosoft.com",
        client_id: DEFAULT_CLIENT_ID,
        public_address: "203.0.113.7",
        volume_password_file: "password",
      },
      "--json",
    );

    const { findings, powershell, dns, devices } = JSON.parse(made.stdout) as {
      findings: string[];
      powershell: string;
      dns: string[];
      devices: string[];
    };
    const config = await readFile(configFile, "utf8");
    expect(made.code).toBe(0);
    for (const type of types) expect(config).toContain(`type: ${type}`);
    for (const step of steps) expect(powershell).toContain(step);
    const foreign = everyStep.filter(
      (step) => !steps.some((own) => own.includes(step) || (step === "Get-OrganizationConfig" && own === "RejectDirectSend")),
    );
    for (const step of foreign) expect(powershell).not.toContain(step);
    expect(dns).toHaveLength(records);
    expect(devices[0]).toBe("Server            relay.contoso.com (or its address)");
    // The connector's certificate is the administrator's to get; everything else is there.
    expect(findings.filter((finding) => !/upstreams\.connector\.(certificate|key)/.test(finding))).toEqual([]);
  });

  test("an account for High Volume Email is not the mailbox that signs in", async () => {
    const answers = { ...BASE, doors: ["mailbox", "high-volume"], tenant: "contoso.onmicrosoft.com", volume_account: "alerts@contoso.com" };

    const { powershell } = JSON.parse((await setup(answers, "--json")).stdout) as { powershell: string };

    const config = await readFile(configFile, "utf8");
    expect(config).toMatch(/ {2}mailbox:\n[^]*mailbox: scanner@contoso\.com\n[^]* {2}volume:\n[^]*mailbox: alerts@contoso\.com\n/);
    expect(powershell).toContain("High volume email: add alerts@contoso.com,");
  });

  test("a relay whose name is of the inner network does not tell Microsoft to expect that name in the certificate", async () => {
    const answers = { ...BASE, doors: ["connector-certificate"], hostname: "relay.corp.local" };

    const { powershell } = JSON.parse((await setup(answers, "--json")).stdout) as { powershell: string };

    expect(powershell).toContain("-TlsSenderCertificateName '<name in the certificate>'");
  });

  test("a wildcard that comes first makes no names, and what is said twice stands once", async () => {
    const answers = {
      ...BASE,
      doors: ["direct-send"],
      domains: ["*.contoso.com", "contoso.com", "contoso.com"],
      networks: ["10.1.0.0/16", "10.1.0.0/16"],
    };

    const { findings } = JSON.parse((await setup(answers, "--json")).stdout) as { findings: string[] };

    const config = await readFile(configFile, "utf8");
    expect(findings).toEqual([]);
    expect(config).toContain("hostname: relay.contoso.com\n");
    expect(config).toContain("    domain: contoso.com\n");
  });

  test("the commands that follow name the file where it is not the usual one", async () => {
    const { next } = JSON.parse((await setup({ ...BASE, doors: ["direct-send"] }, "--json")).stdout) as { next: string[] };

    expect(next.slice(-3)).toEqual([
      `postern check --config ${configFile}`,
      `postern run --config ${configFile}`,
      `postern test --to it@contoso.com --config ${configFile}`,
    ]);
  });

  test("what is not known yet stands in quotes, and the script connects to all that it asks", async () => {
    const answers = { ...BASE, doors: ["mailbox", "connector-address"], tenant: "contoso.onmicrosoft.com" };

    const { powershell } = JSON.parse((await setup(answers, "--json")).stdout) as { powershell: string };

    const commands = powershell.split("\n").filter((line) => !line.startsWith("#"));
    // A bare "<" is a fault of syntax, with which PowerShell runs nothing of what was pasted.
    expect(commands.join("\n").replace(/'[^'\n]*'/g, "''")).not.toContain("<");
    expect(commands).toContain("$app = '<application id>'");
    expect(commands.findIndex((line) => line.startsWith("Connect-MgGraph"))).toBe(1);
    expect(commands.findIndex((line) => line.includes("Get-MgServicePrincipal"))).toBeGreaterThan(1);
  });

  test("a person's sign-in needs no rights of the application, and says how to sign in", async () => {
    const answers = { ...BASE, doors: ["mailbox", "graph"], tenant: "contoso.onmicrosoft.com", credential: "device-code" };

    const { powershell, findings } = JSON.parse((await setup(answers, "--json")).stdout) as { powershell: string; findings: string[] };

    expect(powershell).toContain("postern auth login mailbox; postern auth login graph");
    expect(powershell).not.toContain("New-ManagementRoleAssignment");
    expect(findings.filter((finding) => /application id|client_id/.test(finding))).toEqual([
      expect.stringContaining("fill in the application id"),
    ]);
  });

  test("external mail never waits for a door to one's own mailboxes only", async () => {
    await setup({
      ...BASE,
      recipients: "any",
      doors: ["direct-send", "mailbox"],
      tenant: "contoso.onmicrosoft.com",
      client_id: DEFAULT_CLIENT_ID,
    });

    const inside = await postern(
      configFile,
      "explain",
      "--ip",
      "127.0.0.1",
      "--from",
      "a@contoso.com",
      "--to",
      "anna@contoso.com",
      "--json",
    );
    const outside = await postern(
      configFile,
      "explain",
      "--ip",
      "127.0.0.1",
      "--from",
      "a@contoso.com",
      "--to",
      "joe@fabrikam.com",
      "--json",
    );

    expect(inside.stdout).toMatch(/"route": "default"/);
    expect(outside.stdout).toMatch(/"route": "outside"/);
  });

  test("keys are made once, the private one hidden from others, and fit the certificate to upload", async () => {
    const answers = { ...BASE, doors: ["mailbox"], tenant: "contoso.onmicrosoft.com", client_id: DEFAULT_CLIENT_ID };
    await setup(answers);
    const key = join(folder.path, "certs/entra.key");
    const first = await readFile(key, "utf8");

    const again = await setup(answers);
    const forced = await setup(answers, "--force");

    const certificate = new X509Certificate(await readFile(join(folder.path, "certs/entra.pem")));
    expect((await stat(key)).mode & 0o007).toBe(0);
    expect(certificate.validToDate.getTime() - Date.now()).toBeLessThan(366 * 86_400_000);
    expect(again).toMatchObject({
      code: 64,
      stderr: expect.stringContaining("exists: give another --config FILE, or --force to replace it"),
    });
    expect(forced.code).toBe(0);
    expect(await readFile(key, "utf8")).toBe(first);
  });
});

/** The group of the service is asked of getent(1): here one that is always the same, or none. */
const isRoot = process.getuid?.() === 0;
const READER = 64_242;

async function setupAsRoot(
  group: string,
  answers: Readonly<Record<string, unknown>>,
  ...args: readonly string[]
): ReturnType<typeof runProcess> {
  const [bin, file, parent] = [join(folder.path, "bin"), join(folder.path, "answers.yaml"), join(folder.path, "etc")];
  await mkdir(bin, { recursive: true });
  await mkdir(parent, { recursive: true });
  await writeFile(join(bin, "getent"), group === "" ? "#!/bin/sh\nexit 2\n" : `#!/bin/sh\necho '${group}'\n`);
  await chmod(join(bin, "getent"), 0o755);
  await writeFile(file, JSON.stringify({ ...BASE, tenant: "contoso.onmicrosoft.com", client_id: DEFAULT_CLIENT_ID, ...answers }));
  await chmod(folder.path, 0o755);
  configFile = join(parent, "postern/postern.yaml");
  return await runProcess(process.execPath, [PROGRAM, "setup", "--answers", file, "--config", configFile, ...args], {
    env: { ...process.env, NO_COLOR: "1", PATH: `${bin}:${process.env["PATH"]}` },
  });
}

describe.skipIf(!isRoot)("root sets up for the service, which is another user (needs root)", () => {
  const WITH_KEY = { doors: ["mailbox", "high-volume"], volume_password_file: "secrets/volume" };

  test.skipIf(!hasTool("setpriv"))("its group may read everything and write nothing, others may not read", async () => {
    const made = await setupAsRoot(`postern:x:${READER}:`, WITH_KEY);

    const as = async (gid: number, command: string): Promise<number | null> =>
      (await runProcess("setpriv", ["--reuid", `${READER}`, "--regid", `${gid}`, "--clear-groups", "sh", "-c", command])).code;
    const etc = dirname(configFile);
    const files = ["postern.yaml", "certs/entra.key", "certs/entra.pem"].map((name) => join(etc, name));
    expect(made).toMatchObject({ code: 0, stderr: "" });
    for (const file of files) {
      expect(await as(READER, `cat ${file} >/dev/null`)).toBe(0);
      expect(await as(READER, `test -w ${file} || test -w ${dirname(file)}`)).not.toBe(0);
      expect(await as(READER + 1, `cat ${file} >/dev/null`)).not.toBe(0);
    }
    expect(await as(READER, `cd ${etc}/secrets`)).toBe(0);
    expect(made.stdout).toContain(`\n  install -m 640 -g postern /dev/stdin ${etc}/secrets/volume   (then`);
    expect(made.stdout).not.toContain("systemd-sysusers");
  });

  test("without the group it says what makes it; set up again, with it, the keys that are kept are readable, too", async () => {
    const before = await setupAsRoot("", WITH_KEY);
    const key = join(dirname(configFile), "certs/entra.key");
    const unreadable = await stat(key);
    const after = await setupAsRoot(`postern:x:${READER}:`, WITH_KEY, "--force");

    expect(before.stdout).toMatch(
      /\nThen\n {2}systemd-sysusers \/\S+\/systemd\/postern\.sysusers\.conf .*\n {2}chgrp -R postern \S+\/etc\/postern && chmod/,
    );
    expect(unreadable.mode & 0o777).toBe(0o600);
    expect(after.code).toBe(0);
    expect(await stat(key)).toMatchObject({ gid: READER, mode: 0o100_640 });
  });

  test("a folder that was there before, with other things in it, stays as it is", async () => {
    await mkdir(join(folder.path, "etc/postern"), { recursive: true, mode: 0o700 });

    const made = await setupAsRoot(`postern:x:${READER}:`, { ...WITH_KEY, volume_password_file: "volume" });

    expect(made.code).toBe(0);
    expect(await stat(dirname(configFile))).toMatchObject({ gid: 0, mode: 0o40_700 });
  });
});

test("answers that make no sense are all named on one line, and nothing is written", async () => {
  const made = await setup({
    domains: ["contoso..com"],
    networks: ["10.20.0.5/16"],
    door: ["mailbox"],
    postmaster: "it@contoso.com",
    doors: ["smtp"],
  });

  expect(made.code).toBe(64);
  expect(made.stderr).toMatch(/domains: expected a domain/);
  expect(made.stderr).toMatch(/networks: expected/);
  expect(made.stderr).toMatch(/door: no such question; did you mean doors\?/);
  expect(made.stderr).toMatch(/doors: expected one of: mailbox, graph/);
  expect(made.stderr.trim().split("\n")).toHaveLength(1);
  await expect(stat(configFile)).rejects.toThrow("ENOENT");
});

test.each([
  [{ overrides: { mailboxx: { port: 2587 } } }, 'overrides: there is no upstream "mailboxx" in this setup; one of: mailbox'],
  [{ overrides: { graph: { host: "127.0.0.1" } } }, 'overrides: there is no upstream "graph" in this setup; one of: mailbox'],
  [{ overrides: { mailbox: "127.0.0.1" } }, "overrides: mailbox: expected keys of an upstream, such as { port: 2587 }"],
  [{ overrides: [] }, "overrides: expected the names of upstreams with keys below them"],
  [{ tenant: null }, "tenant: is missing; expected the tenant's id or one of its domains, such as contoso.onmicrosoft.com"],
  [{ listen: "25" }, 'listen: expected an address and a port such as ":25", "0.0.0.0:587" or "[::]:25", not "25"'],
  [
    { doors: ["direct-send"], public_address: "10.0.0.1" },
    'public_address: expected a public IPv4 address, as the Internet sees this network, not "10.0.0.1"',
  ],
  [
    { doors: ["connector-address"], public_address: "2001:db8::1" },
    'public_address: expected a public IPv4 address, as the Internet sees this network, not "2001:db8::1"',
  ],
  [{ domains: ["contoso"] }, 'domains: expected a domain such as contoso.com, or "*.contoso.com" for its subdomains, not "contoso"'],
])("%j is a fault of the answers", async (answers, fault) => {
  const { code, stderr } = await setup({ ...BASE, tenant: "contoso.onmicrosoft.com", ...answers });

  expect(stderr).toBe(`postern: ${join(folder.path, "answers.yaml")}: ${fault}\n`);
  expect(code).toBe(64);
});

test("overrides without anything below them are none; a broken file is told where it breaks, and nothing else", async () => {
  const empty = await setup({ ...BASE, tenant: "contoso.onmicrosoft.com", overrides: null });
  const file = join(folder.path, "broken.yaml");
  await writeFile(file, "networks: [10.20.0.0/16]\ndomains: [contoso.com\n");
  const broken = await postern(configFile, "setup", "--force", "--answers", file);

  expect(empty.code).toBe(0);
  expect(broken).toMatchObject({ code: 64, stderr: expect.stringMatching(/^postern: [^\n]*broken\.yaml: [^;\n]* at line 3, column 1\n$/) });
});

test("without a terminal and without answers it says what to do", async () => {
  expect(await postern(configFile, "setup")).toMatchObject({ code: 64, stderr: expect.stringContaining("so --answers FILE is needed") });
});

test.skipIf(!hasTool("script"))("at a terminal it explains, asks again where an answer makes no sense, and writes the same", async () => {
  const typed = [
    "contoso.com",
    "",
    "",
    "127.0.0.0/8",
    "",
    "",
    "door",
    "direct-send",
    "",
    "",
    "",
    "",
    "127.0.0.1:0",
    join(folder.path, "data"),
  ];
  const command = `${process.execPath} ${PROGRAM} setup --config ${configFile}`;

  const { code, stdout } = await runProcess("script", ["-qec", command, "/dev/null"], {
    input: `${typed.join("\n")}\n`,
    env: { ...process.env, NO_COLOR: "1" },
  });

  expect(stdout).toContain("Expected one of: mailbox, graph");
  expect(stdout).toContain("direct-send: port 25 without anything.");
  expect(code).toBe(0);
  expect(await readFile(configFile, "utf8")).toContain("type: direct-send");
});
