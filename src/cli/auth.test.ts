import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeTestAuthority } from "../../test/fakes/test-ca.ts";
import { startTokenEndpoint } from "../../test/fakes/token-endpoint.ts";
import type { TokenAnswer, TokenEndpoint } from "../../test/fakes/token-endpoint.ts";
import { PROGRAM } from "../../test/support/postern.ts";
import { runProcess } from "../../test/support/process.ts";
import { tempDir } from "../../test/support/temp-dir.ts";
import type { TempDir } from "../../test/support/temp-dir.ts";
import { signInStore } from "../upstream/oauth/sign-in-store.ts";

const CANARY = "refresh-token-canary";
const authority = makeTestAuthority();
const certificate = authority.issue(["127.0.0.1"]);

const CODE = { device_code: "D", user_code: "ABCD-EFGH", verification_uri: "https://login.example/device", expires_in: 900, interval: 0 };
const pending: TokenAnswer = { status: 400, body: { error: "authorization_pending" } };
const signedIn: TokenAnswer = {
  body: { token_type: "Bearer", expires_in: 4500, access_token: "access-token-canary", refresh_token: CANARY, scope: "SMTP.Send" },
};

let folder: TempDir;
let entra: TokenEndpoint;
let answers: TokenAnswer[];

beforeEach(async () => {
  folder = await tempDir();
  answers = [pending, signedIn];
  entra = await startTokenEndpoint(certificate, ({ path }) =>
    path.endsWith("/devicecode") ? { body: CODE } : answers.length > 1 ? answers.shift() : answers[0],
  );
  await writeFile(join(folder.path, "ca.pem"), authority.ca);
  await writeFile(
    join(folder.path, "postern.yaml"),
    `hostname: relay.contoso.com
data_dir: data
organization: { tenant: contoso.onmicrosoft.com, domains: [contoso.com], postmaster: it@contoso.com }
listeners: { a: { listen: ":25" } }
clients: { c: { networks: [10.0.0.0/8] } }
upstreams:
  scans: { type: smtp-auth, mailbox: a@contoso.com, authority: "${entra.url}", ca: ca.pem, credential: { type: device-code, client_id: app } }
  other: { type: smart-host, host: mail.example }
routes: [{ name: default, via: [scans] }]
`,
  );
});

afterEach(async () => {
  await entra.close();
  await folder.remove();
});

function login(...args: readonly string[]) {
  return runProcess(process.execPath, [PROGRAM, "auth", "login", ...args, "--config", join(folder.path, "postern.yaml")]);
}

test("shows where to sign in, waits, and keeps the sign-in encrypted for the daemon", async () => {
  const { code, stdout, stderr } = await login("scans");

  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("Open https://login.example/device in a browser and type the code ABCD-EFGH.");
  expect(stdout).toContain("ok: scans is signed in.");
  expect(stdout).toContain("No daemon is running; it finds the sign-in when it starts.");
  const directory = join(folder.path, "data", "deliver");
  expect((await signInStore(directory, "scans").read())?.refreshToken).toBe(CANARY);
  expect(await readFile(join(directory, "scans.sign-in"), "latin1")).not.toContain("canary");
  expect(stdout).not.toContain("canary");
});

test("with --json there is a line with the code, then one with the result", async () => {
  const { stdout } = await login("scans", "--json");

  expect(
    stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([
    { upstream: "scans", url: "https://login.example/device", code: "ABCD-EFGH", expiresInSeconds: 900 },
    { upstream: "scans", account: "", ok: true, daemonTold: false },
  ]);
});

test.each([
  [
    "declined",
    { status: 400, body: { error: "authorization_declined", error_description: "The user said no." } },
    77,
    "authorization_declined",
  ],
  [
    "refused for the application",
    { status: 401, body: { error: "invalid_client", error_description: "AADSTS7000218: a secret is missing" } },
    78,
    "AADSTS7000218",
  ],
])("a sign-in that is %s ends with its own exit code and one line", async (_, answer, exitCode, said) => {
  answers = [pending, answer];

  const { code, stderr } = await login("scans");

  expect(code).toBe(exitCode);
  expect(stderr).toMatch(/^postern: [^\n]+\n$/);
  expect(stderr).toContain(said);
});

test.each([
  ["other", "auth login: other signs in by itself, without a person; upstreams with device-code: scans"],
  ["nowhere", "auth login: there is no upstream nowhere; upstreams with device-code: scans"],
])("for %s nobody can sign in, which is a fault of usage", async (name, said) => {
  expect(await login(name)).toMatchObject({ code: 64, stderr: `postern: ${said}\n` });
});
