import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { usedKeys } from "../../test/support/keys.ts";
import { tempDir } from "../../test/support/temp-dir.ts";
import type { TempDir } from "../../test/support/temp-dir.ts";
import { parseReply } from "../mail/reply.ts";
import { systemClock } from "../platform/clock.ts";
import { FAULTS } from "../simulator/fault-table.ts";
import { startSimulator } from "../simulator/simulator.ts";
import type { Simulator } from "../simulator/simulator.ts";
import { DEFAULT_CLIENT_ID, DEFAULT_SECRET } from "../simulator/tenant.ts";
import type { OAuthCredential } from "./oauth/credential.ts";
import { createDirectSendUpstream } from "./direct-send.ts";
import { createSmtpAuthUpstream } from "./smtp-auth.ts";
import type { SmtpAuthOptions } from "./smtp-auth.ts";
import { ConnectionGroup } from "./smtp/connection-group.ts";
import type { Delivery, Upstream } from "./upstream.ts";

const never = new AbortController().signal;
let directory: TempDir;
let microsoft: Simulator;
const doors: Upstream[] = [];

beforeAll(async () => {
  directory = await tempDir();
  microsoft = await startSimulator({ keys: usedKeys(), directory: directory.path, demoCredentials: true, submission: { tarpitMs: 0 } });
});

afterEach(async () => {
  for (const door of doors.splice(0)) await door.close();
  microsoft.reset();
});

afterAll(async () => {
  await microsoft.close();
  await directory.remove();
});

type Credential = SmtpAuthOptions["credential"];
const bySecret: OAuthCredential = { type: "client-secret", clientId: DEFAULT_CLIENT_ID, secret: async () => DEFAULT_SECRET };

type Host = "submission" | "mx" | "hve" | "acs";

/** A door to one of the mail hosts. */
function openTo(host: Host): Upstream {
  if (host === "submission") return open();
  const { hveAccounts, acsResources } = microsoft.tenant;
  const [account] = hveAccounts;
  const [resource] = acsResources;
  const password = (username: string, value: string): Credential => ({ type: "password", username, password: async () => value });
  if (host === "hve") return open(password(account?.address ?? "", account?.password ?? ""), "hve", account?.address);
  if (host === "acs") return open(password(`${resource?.name}|${DEFAULT_CLIENT_ID}|${microsoft.tenant.id}`, DEFAULT_SECRET), "acs");
  const door = createDirectSendUpstream({
    name: "inside",
    host: microsoft.host,
    domain: "contoso.com",
    port: microsoft.ports.mx,
    mxSuffixes: [],
    dnsServers: [],
    tls: "required",
    ca: [microsoft.caPem],
    ehloName: "relay.contoso.com",
    sender: { mode: "keep", address: undefined, sendAs: [] },
    countedAs: {},
    limits: { connections: 2, messagesPerMinute: 30, recipientsPerMessage: 100, maxMessageSizeBytes: 33 * 1024 * 1024 },
    clock: systemClock,
    emit: () => {},
  });
  doors.push(door);
  return door;
}

function open(
  credential: Credential = bySecret,
  host: Exclude<Host, "mx"> = "submission",
  mailbox = "scanner@contoso.com",
  group?: ConnectionGroup,
): Upstream {
  const door = createSmtpAuthUpstream({
    name: "scans",
    mailbox,
    host: microsoft.host,
    port: microsoft.ports[host],
    authority: `${microsoft.authority}/${microsoft.tenant.id}`,
    scope: "https://outlook.office365.com/.default",
    credential,
    ca: [microsoft.caPem],
    ehloName: "relay.contoso.com",
    serves: "any",
    sender: { mode: "auto", address: "scanner@contoso.com", sendAs: [] },
    countedAs: {},
    group,
    limits: { connections: 2, messagesPerMinute: 30, recipientsPerMessage: 450, maxMessageSizeBytes: 33 * 1024 * 1024 },
    clock: systemClock,
    emit: () => {},
  });
  doors.push(door);
  return door;
}

function mail(over: Partial<Delivery> & { readonly body?: string } = {}): Delivery {
  const head = "From: scanner@contoso.com\r\nTo: anna@contoso.com\r\nSubject: scan\r\nMessage-ID: <1@contoso.com>\r\n\r\n";
  const whole = Buffer.from(head + (over.body ?? "hello\r\n"));
  async function* blocks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < whole.length; at += 100_000) yield whole.subarray(at, at + 100_000);
  }
  return {
    queueId: "01",
    reversePath: "scanner@contoso.com",
    recipients: ["anna@contoso.com"],
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: whole.length,
    content: { inMemory: over.body === undefined ? whole : undefined, blocks },
    ...over,
  };
}

test("small messages and a scan of 3 MB arrive octet for octet over one session, without a breach of protocol", async () => {
  const door = open();
  const line = (octets: Buffer): string => `.${octets.toString("base64")}\r\n`;
  const body = Array.from({ length: 40_000 }, () => line(randomBytes(56))).join("");

  const first = await door.attempt(mail(), never);
  const scan = await door.attempt(mail({ body, recipients: ["anna@contoso.com", "bruno@contoso.com"] }), never);

  expect([first.refusal, scan.refusal]).toEqual([undefined, undefined]);
  expect([first.reusedConnection, scan.reusedConnection]).toEqual([false, true]);
  const [, arrived] = microsoft.messages();
  expect(arrived).toMatchObject({ method: "XOAUTH2", tls: "TLSv1.3", recipients: ["anna@contoso.com", "bruno@contoso.com"] });
  expect(arrived?.bodySha256).toBe(createHash("sha256").update(body).digest("hex"));
  expect(scan.upstreamId).toContain(arrived?.upstreamId);
  expect(microsoft.violations).toEqual([]);
});

test("doors of one mailbox share its connections, those only kept included: three at Microsoft are never exceeded, and a new door waits for the old one's", async () => {
  const group = new ConnectionGroup();
  const [one, two] = [1, 2].map(() => open(bySecret, "submission", "scanner@contoso.com", group)) as [Upstream, Upstream];
  const both = async (door: Upstream): Promise<unknown[]> => {
    const facts = await Promise.all([door.attempt(mail(), never), door.attempt(mail(), never)]);
    return facts.map(({ accepted, refusal }) => accepted?.code ?? refusal);
  };

  const sent = [await both(one), await both(two), await both(one), ...(await Promise.all([both(one), both(two)]))];
  const successor = open(bySecret, "submission", "scanner@contoso.com", group);
  const [, ...after] = await Promise.all([one.close(), both(successor), both(two)]);

  expect([...sent, ...after].flat()).toEqual(Array.from({ length: 14 }, () => 250));
});

test("the certificate of the app signs in as well", async () => {
  const certificate = async (): Promise<{ certificatePem: string; keyPem: string }> => ({
    certificatePem: await readFile(join(directory.path, "client-certificate.pem"), "latin1"),
    keyPem: await readFile(join(directory.path, "client-key.pem"), "latin1"),
  });

  const facts = await open({ type: "client-certificate", clientId: DEFAULT_CLIENT_ID, certificate }).attempt(mail(), never);

  expect(facts.accepted?.code).toBe(250);
});

test("a wrong secret is refused by its number, and never reaches submission", async () => {
  const facts = await open({ type: "client-secret", clientId: DEFAULT_CLIENT_ID, secret: async () => "wrong" }).attempt(mail(), never);

  expect(facts.refusal).toMatchObject({ stage: "token", fault: { code: "AADSTS7000215" } });
});

test("an answer that is lost after the final dot is ambiguous", async () => {
  microsoft.faults.set("answer-lost");

  const facts = await open().attempt(mail(), never);

  expect(facts).toMatchObject({ ambiguous: true, refusal: { stage: "final", fault: { code: "RESET" } } });
  expect(microsoft.messages()).toHaveLength(1);
});

const spoken = FAULTS.flatMap(({ name, stage, action, hosts }) => {
  const host = (["submission", "mx", "hve", "acs"] as const).find((one) => hosts.includes(one));
  return action.kind === "reply" && host !== undefined ? [{ name, stage, host, text: action.text.replace(/ ?\{.*/, "") }] : [];
});
test.each(spoken)("$name: what $host says at $stage is the fact, word for word", async ({ name, stage, host, text }) => {
  microsoft.faults.set(name);

  const facts = await openTo(host).attempt(mail({ recipients: ["anna@contoso.com", "bruno@contoso.com"] }), never);

  const refusal = facts.refusal ?? facts.recipients.find((one) => one.refusal !== undefined)?.refusal;
  const said = parseReply(text);
  expect(refusal).toMatchObject({ stage, reply: { code: said?.code, enhanced: said?.enhanced } });
  expect(refusal?.reply?.text.startsWith(said?.text ?? "?")).toBe(true);
  expect(facts.ambiguous).toBe(false);
});
