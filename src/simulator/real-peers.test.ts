import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

import { usedKeys } from "../../test/support/keys.ts";
import { fetchToken } from "../../test/fakes/token-request.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";

const directory = mkdtempSync(path.join(tmpdir(), "stand-in-"));
const CONTENT = "From: scanner@contoso.com\r\nTo: anna@contoso.com\r\nSubject: peer\r\n\r\n.dots\r\n..\r\nend\r\n";
let simulator: Simulator;
let token: string;

const installed = (program: string): boolean => spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;

/** Runs a program with this on its standard input; what it printed, on both, and its exit code. */
function run(program: string, args: readonly string[], input = ""): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (text: Buffer) => (output += text.toString()));
    child.stderr.on("data", (text: Buffer) => (output += text.toString()));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
    child.stdin.end(input);
  });
}

beforeAll(async () => {
  simulator = await startSimulator({ keys: usedKeys(), directory, submission: { tarpitMs: 0 } });
  const mailbox = simulator.tenant.mailboxes[0];
  if (mailbox !== undefined) Object.assign(mailbox, { basicAuth: "on", password: "correct horse" });
  token = await fetchToken(simulator);
  writeFileSync(path.join(directory, "message.eml"), CONTENT);
});

afterAll(async () => {
  await simulator.close();
  rmSync(directory, { recursive: true });
});

test.skipIf(!installed("curl"))("curl delivers with a bearer token", async () => {
  const { ports, caFile } = simulator;
  const message = ["--mail-from", "scanner@contoso.com", "--mail-rcpt", "curl@contoso.com", "-T", path.join(directory, "message.eml")];

  const { code } = await run("curl", [
    "-sS",
    "--ssl-reqd",
    "--cacert",
    caFile,
    `smtp://localhost:${ports.submission}/relay.contoso.com`,
    "--user",
    "scanner@contoso.com",
    "--oauth2-bearer",
    token,
    ...message,
  ]);

  expect(code).toBe(0);
  expect(simulator.messages({ recipient: "curl@contoso.com" })[0]?.content?.toString()).toBe(CONTENT);
});

test.skipIf(!installed("curl"))("curl delivers with a password where the mailbox allows it", async () => {
  const { ports, caFile } = simulator;
  const message = ["--mail-from", "scanner@contoso.com", "--mail-rcpt", "login@contoso.com", "-T", path.join(directory, "message.eml")];
  const auth = ["--user", "scanner@contoso.com:correct horse", "--login-options", "AUTH=LOGIN"];

  const { code } = await run("curl", [
    "-sS",
    "--ssl-reqd",
    "--cacert",
    caFile,
    `smtp://localhost:${ports.submission}/relay.contoso.com`,
    ...auth,
    ...message,
  ]);

  expect(code).toBe(0);
  expect(simulator.messages({ recipient: "login@contoso.com" })[0]).toMatchObject({ method: "LOGIN", mailbox: "scanner@contoso.com" });
});

test.skipIf(!installed("curl"))("curl sends MIME by Graph with a bearer token", async () => {
  const graphToken = await fetchToken(simulator, "https://graph.microsoft.com/.default");
  writeFileSync(path.join(directory, "message.b64"), Buffer.from(CONTENT).toString("base64"));

  const { code, output } = await run("curl", [
    "-sS",
    "--cacert",
    simulator.caFile,
    "--oauth2-bearer",
    graphToken,
    "-H",
    "Content-Type: text/plain",
    "--data-binary",
    `@${path.join(directory, "message.b64")}`,
    "-w",
    "%{http_code}",
    `https://localhost:${simulator.graphPort}/v1.0/users/scanner@contoso.com/sendMail`,
  ]);

  expect([code, output]).toEqual([0, "202"]);
  expect(simulator.messages().at(-1)).toMatchObject({ door: "graph", recipients: ["anna@contoso.com"] });
  expect(simulator.messages().at(-1)?.content?.toString()).toContain(CONTENT);
});

test.skipIf(!installed("curl"))("curl signs a user in by device code", async () => {
  const endpoint = `https://localhost:${simulator.ports.entra}/organizations/oauth2/v2.0`;
  const clientId = `client_id=${simulator.tenant.apps[0]?.clientId ?? ""}`;
  const post = async (url: string, ...fields: string[]): Promise<Record<string, string>> => {
    const data = fields.flatMap((field) => ["--data-urlencode", field]);
    const { output } = await run("curl", ["-sS", "--cacert", simulator.caFile, ...data, url]);
    return JSON.parse(output) as Record<string, string>;
  };
  const started = await post(`${endpoint}/devicecode`, clientId, "scope=https://outlook.office.com/SMTP.Send offline_access");
  const grant = ["grant_type=urn:ietf:params:oauth:grant-type:device_code", clientId, `device_code=${started["device_code"] ?? ""}`];

  const pending = await post(`${endpoint}/token`, ...grant);
  const decision = JSON.stringify({ user_code: started["user_code"], user: "scanner@contoso.com" });
  await run("curl", ["-sS", "-H", "Content-Type: application/json", "-d", decision, `${simulator.viewUrl}api/device`]);
  const tokens = await post(`${endpoint}/token`, ...grant);

  expect(pending["error"]).toBe("authorization_pending");
  expect(tokens).toMatchObject({ token_type: "Bearer", refresh_token: expect.any(String) as string });
  const signedIn = ["--user", "scanner@contoso.com", "--oauth2-bearer", tokens["access_token"] ?? ""];
  const envelope = ["--mail-from", "scanner@contoso.com", "--mail-rcpt", "device@contoso.com"];
  const { code } = await run("curl", [
    "-sS",
    "--ssl-reqd",
    "--cacert",
    simulator.caFile,
    `smtp://localhost:${simulator.ports.submission}/relay.contoso.com`,
    ...signedIn,
    ...envelope,
    "-T",
    path.join(directory, "message.eml"),
  ]);
  expect(code).toBe(0);
  expect(simulator.messages({ recipient: "device@contoso.com" })).toHaveLength(1);
});

/** swaks needs a Perl module for TLS that its package only recommends. */
const swaksSpeaksTls = installed("swaks") && spawnSync("swaks", ["--support"], { encoding: "utf8" }).stdout.includes("=== TLS supported");

test.skipIf(!swaksSpeaksTls)("swaks delivers with a password where the mailbox allows it", async () => {
  const server = [
    "--server",
    "127.0.0.1",
    "--port",
    String(simulator.ports.submission),
    "--tls",
    "--tls-verify",
    "--tls-ca-path",
    simulator.caFile,
    "--helo",
    "relay.contoso.com",
  ];
  const auth = ["--auth", "LOGIN", "--auth-user", "scanner@contoso.com", "--auth-password", "correct horse"];

  const { code } = await run("swaks", [...server, ...auth, "--from", "scanner@contoso.com", "--to", "swaks@contoso.com"]);

  expect(code).toBe(0);
  expect(simulator.messages({ recipient: "swaks@contoso.com" })[0]).toMatchObject({ method: "LOGIN", mailbox: "scanner@contoso.com" });
});

test.skipIf(!installed("msmtp"))("msmtp delivers with XOAUTH2", async () => {
  const tokenFile = path.join(directory, "token");
  writeFileSync(tokenFile, token, { mode: 0o600 });
  const server = [
    "--host=localhost",
    `--port=${simulator.ports.submission}`,
    "--tls=on",
    "--tls-starttls=on",
    `--tls-trust-file=${simulator.caFile}`,
    "--domain=relay.contoso.com",
  ];
  const auth = ["--auth=xoauth2", "--user=scanner@contoso.com", `--passwordeval=cat ${tokenFile}`, "--from=scanner@contoso.com"];

  const { code, output } = await run("msmtp", [...server, ...auth, "msmtp@contoso.com"], CONTENT.replaceAll("\r\n", "\n"));

  expect(output).toBe("");
  expect(code).toBe(0);
  expect(simulator.messages({ recipient: "msmtp@contoso.com" })).toHaveLength(1);
});

test.skipIf(!installed("openssl"))("openssl verifies chain and name of the certificate", async () => {
  const target = ["-connect", `127.0.0.1:${simulator.ports.submission}`, "-starttls", "smtp", "-name", "relay.contoso.com"];

  const { output } = await run(
    "openssl",
    ["s_client", ...target, "-CAfile", simulator.caFile, "-verify_hostname", "smtp.office365.com", "-verify_return_error", "-quiet"],
    "QUIT\r\n",
  );

  expect(output).toContain("221 2.0.0 Service closing transmission channel");
});

test.skipIf(!installed("openssl"))("openssl delivers to the outside with the connector's certificate and its chain", async () => {
  const pair = await simulator.issueClientCertificate({ names: ["contoso.com"] });
  const files = { chain: path.join(directory, "connector.pem"), key: path.join(directory, "connector-key.pem") };
  writeFileSync(files.chain, pair.chainPem);
  writeFileSync(files.key, pair.keyPem, { mode: 0o600 });
  const target = [
    "-connect",
    `127.0.0.1:${simulator.ports.mx}`,
    "-starttls",
    "smtp",
    "-name",
    "relay.contoso.com",
    "-CAfile",
    simulator.caFile,
  ];
  const verify = ["-verify_hostname", "contoso-com.mail.protection.outlook.com", "-verify_return_error", "-quiet", "-ign_eof"];
  // -cert takes the first certificate of the file alone; the chain has an option of its own.
  const shown = ["-cert", files.chain, "-cert_chain", files.chain, "-key", files.key];
  const dialogue = [
    "EHLO relay.contoso.com",
    "MAIL FROM:<erp@contoso.com>",
    "rcpt TO:<openssl@example.org>",
    "DATA",
    `${CONTENT}.`,
    "QUIT",
    "",
  ];

  const { output } = await run("openssl", ["s_client", ...target, ...verify, ...shown], dialogue.join("\r\n"));

  expect(output).toMatch(/250 2\.6\.0 .* Queued mail for delivery/);
  expect(simulator.messages({ recipient: "openssl@example.org" })).toMatchObject([{ door: "connector", method: "certificate" }]);
});

test.skipIf(!installed("curl"))("curl delivers to a mailbox by Direct Send", async () => {
  const server = ["-sS", "--ssl-reqd", "--cacert", simulator.caFile, `smtp://localhost:${simulator.ports.mx}/relay.contoso.com`];
  const message = ["--mail-from", "erp@contoso.com", "--mail-rcpt", "anna@contoso.com", "-T", path.join(directory, "message.eml")];

  const { code } = await run("curl", [...server, ...message]);

  expect(code).toBe(0);
  expect(simulator.messages({ reversePath: "erp@contoso.com", recipient: "anna@contoso.com" })).toMatchObject([{ door: "direct-send" }]);
});

test.skipIf(!installed("curl"))("curl delivers by High Volume Email", async () => {
  const server = ["-sS", "--ssl-reqd", "--cacert", simulator.caFile, `smtp://localhost:${simulator.ports.hve}/relay.contoso.com`];
  writeFileSync(path.join(directory, "hve.eml"), CONTENT.replace("scanner@", "hve@"));
  const message = ["--mail-from", "hve@contoso.com", "--mail-rcpt", "anna@contoso.com", "-T", path.join(directory, "hve.eml")];

  const { code } = await run("curl", [...server, "--user", "hve@contoso.com", "--oauth2-bearer", token, ...message]);

  expect(code).toBe(0);
  expect(simulator.messages({ reversePath: "hve@contoso.com" })).toMatchObject([{ door: "hve", method: "XOAUTH2" }]);
});
