import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { usedKeys } from "../../test/support/keys.ts";
import { RawSmtpClient } from "../../test/fakes/raw-smtp-client.ts";
import { fetchToken } from "../../test/fakes/token-request.ts";
import { ManualClock } from "../platform/clock.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";
import { DEFAULT_CLIENT_ID, DEFAULT_HVE_PASSWORD, DEFAULT_SECRET, DEFAULT_TENANT_ID, makeTenant } from "./tenant.ts";

const directory = mkdtempSync(path.join(tmpdir(), "stand-in-"));
const clock = new ManualClock(Date.now());
const clients: RawSmtpClient[] = [];
let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({ keys: usedKeys(), directory, clock, submission: { tarpitMs: 0 } });
});

beforeEach(() => {
  Object.assign(simulator.tenant, makeTenant());
  clock.advance(60 * 60_000);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.drop();
  simulator.reset();
});

afterAll(async () => {
  await simulator.close();
  rmSync(directory, { recursive: true });
});

async function secured(port: number): Promise<RawSmtpClient> {
  const client = await RawSmtpClient.connect(port);
  clients.push(client);
  await client.reply();
  await client.say("EHLO relay.contoso.com");
  await client.say("STARTTLS");
  await client.secure({ ca: simulator.caPem });
  await client.say("EHLO relay.contoso.com");
  return client;
}

async function login(client: RawSmtpClient, user: string, password: string): Promise<string | undefined> {
  await client.say("AUTH LOGIN");
  await client.say(btoa(user));
  return await client.say(btoa(password));
}

async function bearer(client: RawSmtpClient, user: string): Promise<string | undefined> {
  return await client.say(`AUTH XOAUTH2 ${btoa(`user=${user}\x01auth=Bearer ${await fetchToken(simulator)}\x01\x01`)}`);
}

async function submit(client: RawSmtpClient, sender: string, recipient = "anna@contoso.com"): Promise<string | undefined> {
  await client.say(`MAIL FROM:<${sender}>`);
  const named = await client.say(`RCPT TO:<${recipient}>`);
  if (named?.startsWith("250") !== true) return named;
  await client.say("DATA");
  return await client.say(`From: ${sender}\r\nSubject: x\r\n\r\nbody\r\n.`);
}

describe("High Volume Email", () => {
  test.each([
    ["LOGIN", (client: RawSmtpClient) => login(client, "hve@contoso.com", DEFAULT_HVE_PASSWORD)],
    ["XOAUTH2", (client: RawSmtpClient) => bearer(client, "hve@contoso.com")],
  ] as const)("an account signs in by %s and reaches mailboxes of the tenant", async (method, signIn) => {
    const client = await secured(simulator.ports.hve);
    expect(await signIn(client)).toBe("235 2.7.0 Authentication successful");

    expect(await submit(client, "hve@contoso.com")).toMatch(/^250 2\.0\.0 OK </);

    expect(simulator.messages()).toMatchObject([{ door: "hve", mailbox: "hve@contoso.com", method }]);
  });

  test("recipients outside the tenant are refused, and those over fifty", async () => {
    const client = await secured(simulator.ports.hve);
    await login(client, "hve@contoso.com", DEFAULT_HVE_PASSWORD);
    await client.say("MAIL FROM:<hve@contoso.com>");

    expect(await client.say("RCPT TO:<a@example.net>")).toMatch(
      /^550 5\.5\.105 External sending is not supported for High Volume Email accounts \[/,
    );
    for (let number = 0; number < 50; number += 1) expect(await client.say(`RCPT TO:<r${number}@contoso.com>`)).toMatch(/^250/);
    expect(await client.say("RCPT TO:<r50@contoso.com>")).toMatch(/^452 4\.5\.3 Too many recipients \[/);
  });

  test("another sender than the account is denied", async () => {
    const client = await secured(simulator.ports.hve);
    await login(client, "hve@contoso.com", DEFAULT_HVE_PASSWORD);

    expect(await submit(client, "scanner@contoso.com")).toMatch(
      /^554 5\.2\.252 SendAsDenied; hve@contoso\.com not allowed to send as scanner@contoso\.com; /,
    );
  });

  test.each([
    [
      "a mailbox in place of the account",
      "scanner@contoso.com",
      {},
      /^501 5\.5\.124 Invalid XOAUTH2 auth data - User address provided is not valid/,
    ],
    ["an app that is not among the account's", "hve@contoso.com", { noApp: true }, /^535 5\.7\.3 /],
    ["an app with SMTP.SendAsApp only", "hve@contoso.com", { permissions: ["SMTP.SendAsApp"] }, /^535 5\.7\.3 /],
  ])("%s is refused", async (_, user, how: { noApp?: boolean; permissions?: string[] }, reply) => {
    const [account] = simulator.tenant.hveAccounts;
    const [app] = simulator.tenant.apps;
    if (how.noApp === true && account !== undefined) account.apps = [];
    if (how.permissions !== undefined && app !== undefined) app.permissions = how.permissions;

    expect(await bearer(await secured(simulator.ports.hve), user)).toMatch(reply);
  });

  test("passwords: wrong ones, and those a policy forbids", async () => {
    expect(await login(await secured(simulator.ports.hve), "hve@contoso.com", "other")).toMatch(
      /^535 5\.7\.139 .*credentials were incorrect\./,
    );
    const [account] = simulator.tenant.hveAccounts;
    if (account !== undefined) account.basicAuth = "off";
    expect(await login(await secured(simulator.ports.hve), "hve@contoso.com", DEFAULT_HVE_PASSWORD)).toMatch(
      /^535 5\.7\.139 .*the organization configuration doesn't allow this authentication request/,
    );
  });
});

describe("Azure Communication Services", () => {
  const USER = `contoso-acs|${DEFAULT_CLIENT_ID}|${DEFAULT_TENANT_ID}`;

  test("a resource signs in with an app's secret, and sends to anybody", async () => {
    const client = await secured(simulator.ports.acs);
    expect(await login(client, USER, DEFAULT_SECRET)).toBe("235 2.7.0 Authentication successful");

    expect(await submit(client, "noreply@contoso.com", "a@example.net")).toMatch(/^250 2\.0\.0 OK </);

    expect(simulator.messages()).toMatchObject([{ door: "acs", mailbox: "contoso-acs", external: ["a@example.net"] }]);
  });

  test.each([
    ["a wrong secret", USER, "other"],
    ["another tenant", `contoso-acs|${DEFAULT_CLIENT_ID}|00000000-0000-4000-8000-000000000000`, DEFAULT_SECRET],
    ["another resource", `other|${DEFAULT_CLIENT_ID}|${DEFAULT_TENANT_ID}`, DEFAULT_SECRET],
    ["an address", "noreply@contoso.com", DEFAULT_SECRET],
  ])("%s is refused", async (_, user, password) => {
    expect(await login(await secured(simulator.ports.acs), user, password)).toMatch(/^535 5\.7\.3 Authentication unsuccessful \[/);
  });

  test("a sender in a domain that is not verified is refused", async () => {
    const client = await secured(simulator.ports.acs);
    await login(client, USER, DEFAULT_SECRET);

    expect(await submit(client, "a@example.net")).toMatch(/^550 5\.7\.60 /);
  });

  test("thirty messages a minute and a hundred an hour", async () => {
    const client = await secured(simulator.ports.acs);
    await login(client, USER, DEFAULT_SECRET);
    const many = async (count: number): Promise<(string | undefined)[]> => {
      const replies: (string | undefined)[] = [];
      for (let message = 0; message < count; message += 1) replies.push((await submit(client, "noreply@contoso.com"))?.slice(0, 3));
      return replies;
    };

    expect(new Set(await many(30))).toEqual(new Set(["250"]));
    expect(await many(1)).toEqual(["450"]);
    for (let minute = 0; minute < 2; minute += 1) {
      clock.advance(61_000);
      expect(new Set(await many(30))).toEqual(new Set(["250"]));
    }
    clock.advance(61_000);
    expect(await many(11)).toEqual([...Array.from({ length: 10 }, () => "250"), "450"]);
  });
});
