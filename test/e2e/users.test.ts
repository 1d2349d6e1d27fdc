/** An application that signs in, an old device beside a new one on one port, a balancer in front: the whole product, from file to log line. */
import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hashPassword } from "../../src/config/password.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { ensureSelfMadeCertificate } from "../../src/receive/certificate.ts";
import { LineClient } from "../fakes/line-client.ts";
import { freePort } from "../support/ports.ts";
import type { RunningProcess } from "../support/process.ts";
import { tempDir, type TempDir } from "../support/temp-dir.ts";
import { postern, run, writeConfig, type Files } from "./process.ts";

const PASSWORD = "Canary-Password-7";
let folder: TempDir;
let files: Files;
let relay: RunningProcess & { readonly port: number };

const plain = (user: string, password: string): string => Buffer.from(`\0${user}\0${password}`).toString("base64");

async function certificate(name: string): Promise<void> {
  await ensureSelfMadeCertificate(join(folder.path, name), `${name}.contoso.com`, { named: [] }, systemClock);
  await copyFile(join(folder.path, name, "listener.pem"), join(folder.path, "relay.pem"));
  await copyFile(join(folder.path, name, "listener.key"), join(folder.path, "relay.key"));
}

beforeEach(async () => {
  folder = await tempDir();
  await certificate("relay");
  const password_hash = await hashPassword(PASSWORD);
  files = await writeConfig(folder.path, await freePort(), {
    listeners: {
      submission: {
        listen: "127.0.0.1:0",
        tls: { mode: "required", certificate: "relay.pem", key: "relay.key" },
        auth: "required",
        proxy_protocol: ["127.0.0.9"],
      },
    },
    clients: {
      erp: { networks: ["127.0.0.5"], users: ["sap"], recipients: "any" },
      old: { networks: ["10.20.9.0/24"], tls: { min_version: "TLSv1" } },
    },
    users: { sap: { password_hash } },
    routes: [
      { name: "applications", match: { user: "sap" }, via: "next" },
      { name: "default", via: "next" },
    ],
  });
  relay = await run(files);
});

afterEach(async () => {
  await relay.stop("SIGKILL");
  await folder.remove();
});

async function secured(from: string): Promise<LineClient> {
  const client = await LineClient.open(relay.port, from);
  await client.reply();
  await client.say("STARTTLS");
  await client.startTls();
  return client;
}

test("a user signs in and sends, and is named in log and inventory; a wrong password is told of, and no password is anywhere", async () => {
  await using client = await secured("127.0.0.5");
  expect(await client.say(`AUTH PLAIN ${plain("sap", `${PASSWORD}x`)}`)).toBe("535 5.7.8 Authentication credentials invalid");
  expect(await client.say(`AUTH PLAIN ${plain("sap", PASSWORD)}`)).toBe("235 2.7.0 Ok");
  await client.say("MAIL FROM:<erp@contoso.com>");
  await client.say("RCPT TO:<anna@fabrikam.example>");
  await client.say("DATA");
  expect(await client.say("From: erp@contoso.com\r\n\r\nx\r\n.")).toMatch(/^250 2\.0\.0 Ok: queued as /);

  const [failed, accepted] = await Promise.all([relay.waitForEvent("session.auth.failed"), relay.waitForEvent("message.accepted")]);
  await client.say("QUIT");
  const explained = await postern(
    files.configFile,
    "explain",
    "--ip",
    "127.0.0.5",
    "--user",
    "sap",
    "--from",
    "erp@contoso.com",
    "--to",
    "a@b.example",
  );
  const shown = await postern(files.configFile, "devices", "show", "127.0.0.5", "--json");

  expect(failed).toMatchObject({ user: "sap", device: "127.0.0.5", cause: "wrong password", reply: expect.stringContaining("535 5.7.8") });
  expect(accepted).toMatchObject({ user: "sap", client: "erp" });
  expect(shown.stdout).toMatch(/"users": ?\[\s*"sap"\s*\]/);
  expect(explained).toMatchObject({ code: 0, stdout: expect.stringContaining("applications") });
  const said = `${relay.lines.join("\n")}${shown.stdout}${explained.stdout}`;
  for (const secret of [PASSWORD, plain("sap", PASSWORD), "scrypt$"]) expect(said).not.toContain(secret);
});

test("behind the balancer an old device gets its old TLS and then has to sign in, and its neighbour gets none", async () => {
  const dial = async (address: string): Promise<string> => {
    await using client = await LineClient.open(relay.port, "127.0.0.9");
    client.write(`PROXY TCP4 ${address} 10.0.0.1 40000 587\r\n`);
    const greeting = await client.reply();
    if (!greeting.startsWith("220")) return greeting.slice(0, 9);
    await client.say("STARTTLS");
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: "AES128-SHA:@SECLEVEL=0" } as const;
    const version = await client.startTls(old).then(
      (socket) => socket.getProtocol(),
      () => "no handshake",
    );
    return version === "TLSv1" ? `${version} ${(await client.say("MAIL FROM:<a@contoso.com>")).slice(0, 9)}` : String(version);
  };

  expect(await dial("10.20.9.3")).toBe("TLSv1 530 5.7.0");
  expect(await dial("127.0.0.5")).toBe("no handshake");
  expect(await dial("192.0.2.1")).toBe("554 5.7.1");
});

test("a renewed certificate is shown after a reload, without a gap", async () => {
  await certificate("renewed");

  const reloaded = await postern(files.configFile, "reload");

  expect(reloaded.code).toBe(0);
  await using client = await LineClient.open(relay.port, "127.0.0.5");
  await client.reply();
  await client.say("STARTTLS");
  const socket = await client.startTls();
  expect(socket.getPeerX509Certificate()?.toString()).toBe(await readFile(join(folder.path, "relay.pem"), "latin1"));
});
