/** Every door and every credential, on the whole product: a device's scan to the stand-in, on real sockets and TLS. */
import { createHash } from "node:crypto";
import { accessSync, constants, mkdirSync, rmdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { entraOptions } from "../../src/daemon/doors.ts";
import { systemClock } from "../../src/platform/clock.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { CONNECTOR_ADDRESS, DEFAULT_CLIENT_ID, DEFAULT_HVE_PASSWORD } from "../../src/simulator/tenant.ts";
import { signInByDeviceCode } from "../../src/upstream/oauth/device-code.ts";
import { startFakeDns, type DnsName, type FakeDns } from "../fakes/dns.ts";
import { makeTestAuthority, type TestAuthority, type Validity } from "../fakes/test-ca.ts";
import { submit } from "./submit.ts";
import { ANNA, SCANNER, startContoso, type Contoso, type ContosoOptions } from "./tenant.ts";

const DAY_MS = 86_400_000;
const MX = "contoso-com.mail.protection.outlook.com";
const OUTSIDE = "customer@fabrikam.example";
const MAILBOX_PASSWORD = "canary~of~the~scanner";
/** Where msal reads key files of the Azure Arc agent; it cannot be told otherwise. */
const ARC_KEYS = "/var/opt/azcmagent/tokens";

const SMUGGLED = "MAIL FROM:<evil@contoso.com>\r\nRCPT TO:<anna@contoso.com>\r\nDATA\r\nsmuggled\r\n";
/** Latin-1: all that some server has taken for the end of data, dots where blocks end, 8-bit octets, a line as long as may be, no last line end. */
const ODD_BODY = [
  ...["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\r", "\r\n.\n", "\r.\r\n", "\r\n.\r\n", "\r\r\n.\r\n"].map((end) => `first${end}${SMUGGLED}`),
  "x".repeat(998),
  ...[64 * 1024, 256 * 1024].map((block) => `${`.${"d".repeat(61)}.\r\n`.repeat(block / 64)}..\r\n.`),
  "\u00e4\u00f6\u00fc \u00c3\u00bc \u00ff\0.",
].join("\r\n");
/** With the repairs that the documentation tells of. */
const REPAIRED_BODY = `${ODD_BODY.replaceAll("\0", " ").replace(/\r*\n|\r/g, "\r\n")}\r\n`;

const ROUTES = [{ name: "default", via: ["door"] }];

let contoso: Contoso | undefined;
let dns: FakeDns;
let names: Record<string, DnsName>;
let publicRoot: TestAuthority;
let intermediate: TestAuthority;

beforeEach(async () => {
  names = { "contoso.com": { mx: [[10, MX]] }, [MX]: { a: ["127.0.0.1"] } };
  dns = await startFakeDns(names);
  publicRoot = makeTestAuthority("A public root");
  intermediate = publicRoot.intermediate("A public intermediate");
});

afterEach(async () => {
  vi.unstubAllEnvs();
  try {
    await contoso?.expectSound(true);
  } finally {
    await contoso?.close();
    contoso = undefined;
    await dns.close();
  }
});

const secretOf = (file: string): unknown => ({ type: "client-secret", client_id: DEFAULT_CLIENT_ID, secret: { file } });
const password = (username: string | undefined, file: string): unknown => ({ type: "password", username, password: { file } });
const submission = (sim: Simulator, credential: unknown): Record<string, unknown> => ({
  type: "smtp-auth",
  mailbox: SCANNER,
  host: "127.0.0.1",
  port: sim.ports.submission,
  authority: sim.authority,
  ca: "stand-in/ca.pem",
  credential,
});
const mxDoor = (sim: Simulator, more: Record<string, unknown>): Record<string, unknown> => ({
  port: sim.ports.mx,
  ca: "stand-in/ca.pem",
  network: { dns: { servers: [dns.server] } },
  ...more,
});
const file = (name: string, content: string) => async (_: Simulator, config: string) =>
  await writeFile(join(dirname(config), name), content, { mode: 0o600 });
const issue = (name = "contoso.com", validity?: Validity): { readonly cert: string; readonly key: string } => {
  const { cert, key } = intermediate.issue([name], validity);
  return { cert: cert + intermediate.ca, key };
};
const writePair = async (config: string, { cert, key }: { cert: string; key: string }): Promise<void> => {
  await writeFile(join(dirname(config), "connector.pem"), cert);
  await writeFile(join(dirname(config), "connector.key"), key, { mode: 0o600 });
};
const byCertificate = (sim: Simulator): Record<string, unknown> =>
  mxDoor(sim, { type: "connector", certificate: "connector.pem", key: "connector.key" });

/** Somebody signs in with the code that is shown. */
async function signIn(sim: Simulator, config: string): Promise<void> {
  const loaded = await loadConfig(config);
  const upstream = loaded.ok ? loaded.config.upstreams["door"] : undefined;
  if (!loaded.ok || upstream?.type !== "smtp-auth") throw new Error("no mailbox to sign in to");
  const options = await entraOptions("door", upstream, loaded.config, systemClock, () => {});
  if (options.credential.type !== "device-code") throw new Error("no device code");
  const never = new AbortController().signal;
  const result = await signInByDeviceCode(
    options,
    options.credential,
    ({ code }) => void sim.signIns.decide(code, SCANNER, "approve"),
    never,
  );
  if ("stage" in result) throw new Error(result.fault?.detail);
}

interface DoorCase {
  readonly what: string;
  readonly door: (sim: Simulator) => Record<string, unknown>;
  readonly options?: ContosoOptions;
  readonly from?: string;
  readonly to?: string;
  /** What the stand-in says of the message. */
  readonly arrived: Readonly<Record<string, unknown>>;
}

const DOORS: readonly DoorCase[] = [
  {
    what: "a mailbox with a client secret",
    door: (sim) => submission(sim, secretOf("secret")),
    to: OUTSIDE,
    arrived: { door: "submission", method: "XOAUTH2" },
  },
  {
    what: "a mailbox with a client certificate",
    door: (sim) =>
      submission(sim, {
        type: "client-certificate",
        client_id: DEFAULT_CLIENT_ID,
        certificate: "stand-in/client-certificate.pem",
        key: "stand-in/client-key.pem",
      }),
    options: { credential: "client-certificate" },
    to: OUTSIDE,
    arrived: { door: "submission", method: "XOAUTH2" },
  },
  {
    what: "a mailbox that a person signed in to with a device code",
    door: (sim) => submission(sim, { type: "device-code", client_id: DEFAULT_CLIENT_ID }),
    options: { beforehand: signIn, standIn: { signIn: { deviceIntervalSeconds: 0 } } },
    to: OUTSIDE,
    arrived: { door: "submission", method: "XOAUTH2" },
  },
  {
    what: "a mailbox with its password",
    door: (sim) => submission(sim, password(undefined, "password")),
    options: {
      beforehand: file("password", MAILBOX_PASSWORD),
      prepare: (sim) => {
        const mailbox = sim.tenant.mailboxes.find(({ address }) => address === SCANNER);
        if (mailbox !== undefined) Object.assign(mailbox, { basicAuth: "on", password: MAILBOX_PASSWORD });
      },
    },
    to: OUTSIDE,
    arrived: { door: "submission", method: "LOGIN" },
  },
  {
    what: "High Volume Email with a password",
    door: (sim) => ({
      ...submission(sim, password(undefined, "password")),
      preset: "hve",
      mailbox: "hve@contoso.com",
      port: sim.ports.hve,
    }),
    options: { beforehand: file("password", DEFAULT_HVE_PASSWORD) },
    from: "hve@contoso.com",
    arrived: { door: "hve", method: "LOGIN" },
  },
  {
    what: "High Volume Email with a client secret",
    door: (sim) => ({ ...submission(sim, secretOf("secret")), preset: "hve", mailbox: "hve@contoso.com", port: sim.ports.hve }),
    from: "hve@contoso.com",
    arrived: { door: "hve", method: "XOAUTH2" },
  },
  {
    what: "Azure Communication Services",
    door: (sim) => ({
      ...submission(sim, password(`contoso-acs|${DEFAULT_CLIENT_ID}|${sim.tenant.id}`, "secret")),
      preset: "acs",
      port: sim.ports.acs,
    }),
    to: OUTSIDE,
    arrived: { door: "acs", method: "LOGIN" },
  },
  {
    what: "Direct Send, whose host is looked up",
    door: (sim) => mxDoor(sim, { type: "direct-send" }),
    from: "printer@contoso.com",
    arrived: { door: "direct-send", reversePath: "printer@contoso.com" },
  },
  {
    what: "a connector by certificate, for a sender of any domain",
    door: byCertificate,
    options: {
      prepare: (sim) => void sim.tenant.trustedRoots.push(publicRoot.ca),
      beforehand: async (_, config) => await writePair(config, issue()),
    },
    to: OUTSIDE,
    arrived: { door: "connector" },
  },
  {
    what: "a connector by address",
    door: (sim) => mxDoor(sim, { type: "connector", network: { source_address: CONNECTOR_ADDRESS, dns: { servers: [dns.server] } } }),
    to: OUTSIDE,
    arrived: { door: "connector" },
  },
  {
    what: "Graph with a client secret",
    door: (sim) => ({
      type: "graph",
      mailbox: SCANNER,
      graph_host: sim.graphUrl,
      authority: sim.authority,
      ca: "stand-in/ca.pem",
      credential: secretOf("secret"),
    }),
    to: OUTSIDE,
    arrived: { door: "graph" },
  },
  {
    what: "a smart host",
    door: (sim) => ({ type: "smart-host", host: "localhost", port: sim.ports.mx, tls: "required", ca: "stand-in/ca.pem" }),
    from: "printer@contoso.com",
    arrived: { door: "direct-send" },
  },
];

test.each(DOORS)(
  "$what takes a scan to where it belongs, octet for octet",
  async ({ door, options, from = SCANNER, to = ANNA, arrived }) => {
    contoso = await startContoso({ routes: ROUTES, ...options, upstreams: (sim) => ({ door: door(sim) }) });
    const { sim, relay, event } = contoso;
    const content = Buffer.from(`From: ${from}\r\nTo: ${to}\r\nSubject: Scan\r\n\r\n${ODD_BODY}`, "latin1");

    const queueId = await submit(relay().addresses[0]?.port ?? 0, { from, to: [to], content });
    await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

    expect(sim.messages()).toHaveLength(1);
    expect(sim.messages()[0]).toMatchObject({
      recipients: [to],
      tls: expect.stringMatching(/^TLSv1\.[23]$/),
      bodySha256: createHash("sha256").update(REPAIRED_BODY, "latin1").digest("hex"),
      ...arrived,
    });
  },
);

function canMakeArcKeys(): boolean {
  try {
    accessSync("/var/opt", constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

test.runIf(canMakeArcKeys())("a mailbox with the identity of an Azure Arc machine takes a scan to where it belongs", async () => {
  mkdirSync(ARC_KEYS, { recursive: true });
  contoso = await startContoso({
    routes: ROUTES,
    standIn: { arcKeyDirectory: ARC_KEYS },
    prepare: (sim) => {
      vi.stubEnv("IDENTITY_ENDPOINT", sim.arcEndpoint);
      vi.stubEnv("IMDS_ENDPOINT", new URL(sim.arcEndpoint).origin);
      const machine = sim.tenant.apps.find((app) => app.managedIdentity);
      const mailbox = sim.tenant.mailboxes.find(({ address }) => address === SCANNER);
      if (machine !== undefined && mailbox !== undefined && !mailbox.fullAccess.includes(machine.clientId)) {
        mailbox.fullAccess.push(machine.clientId);
        mailbox.sendAs.push(machine.clientId);
      }
    },
    upstreams: (sim) => ({ door: submission(sim, { type: "managed-identity" }) }),
  });
  const { sim, scan, event } = contoso;

  const queueId = await scan(SCANNER, OUTSIDE);
  await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

  expect(sim.messages()[0]).toMatchObject({ door: "submission", method: "XOAUTH2" });
  await contoso.close();
  contoso = undefined;
  for (const folder of [ARC_KEYS, dirname(ARC_KEYS)]) {
    try {
      rmdirSync(folder);
    } catch {
      // Not empty: an agent's, and not ours to remove.
    }
  }
});

test("mail waits until somebody signs in, and leaves without a restart once they have", async () => {
  let config = "";
  contoso = await startContoso({
    routes: ROUTES,
    standIn: { signIn: { deviceIntervalSeconds: 0 } },
    beforehand: async (_, file) => void (config = file),
    upstreams: (sim) => ({ door: submission(sim, { type: "device-code", client_id: DEFAULT_CLIENT_ID }) }),
  });
  const { sim, clock, scan, event } = contoso;

  const queueId = await scan(SCANNER, ANNA);
  const held = await event("upstream.held");
  await signIn(sim, config);
  clock.advance(1000);
  await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

  expect(held.remedy).toContain("postern auth login");
  expect(sim.messages()).toHaveLength(1);
});

test("a connector's certificate is replaced while it runs: the next connection shows the new one", async () => {
  let config = "";
  const first = issue("one.contoso.com");
  const second = issue("two.contoso.com");
  contoso = await startContoso({
    routes: ROUTES,
    prepare: (sim) => {
      sim.tenant.trustedRoots.push(publicRoot.ca);
      const connector = sim.tenant.connectors.find(({ tlsSenderCertificateName: name }) => name !== undefined);
      if (connector !== undefined) connector.tlsSenderCertificateName = "*.contoso.com";
    },
    beforehand: async (_, file) => await writePair((config = file), first),
    upstreams: (sim) => ({ door: byCertificate(sim) }),
  });
  const { sim, clock, scan, event, all } = contoso;

  const before = await scan(SCANNER, OUTSIDE);
  await event("recipient.delivered", (delivered) => delivered.queueId === before);
  // From now on only the new certificate's connector is there.
  const connector = sim.tenant.connectors.find(({ tlsSenderCertificateName: name }) => name !== undefined);
  if (connector !== undefined) connector.tlsSenderCertificateName = "two.contoso.com";
  await writePair(config, second);
  clock.advance(61_000);
  const after = await scan(SCANNER, OUTSIDE);
  await event("recipient.delivered", (delivered) => delivered.queueId === after);

  expect(sim.messages().map(({ door }) => door)).toEqual(["connector", "connector"]);
  expect(all("upstream.connected").filter(({ upstream }) => upstream === "door")).toHaveLength(2);
});

test("an expired certificate holds the mail and says so, and a new one lets it leave", async () => {
  let config = "";
  const soon = { notBefore: new Date(Date.now() - 30 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) };
  contoso = await startContoso({
    routes: ROUTES,
    prepare: (sim) => void sim.tenant.trustedRoots.push(publicRoot.ca),
    beforehand: async (_, file) => await writePair((config = file), issue("contoso.com", soon)),
    upstreams: (sim) => ({ door: byCertificate(sim) }),
  });
  const { sim, clock, scan, event, all } = contoso;

  const held = await event("upstream.held");
  const queueId = await scan(SCANNER, OUTSIDE);
  const connected = all("upstream.connected").filter(({ upstream }) => upstream === "door").length;
  await writePair(config, issue());
  clock.advance(1000);
  await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

  expect(held.cause).toContain("CERTIFICATE_EXPIRED");
  expect(connected).toBe(0);
  expect(sim.messages()).toHaveLength(1);
});

test("a domain whose MX is another provider's holds the mail, until it is Microsoft's again", async () => {
  names["contoso.com"] = { mx: [[10, "mx.filter.example"]] };
  contoso = await startContoso({ routes: ROUTES, upstreams: (sim) => ({ door: mxDoor(sim, { type: "direct-send" }) }) });
  const { clock, scan, event } = contoso;

  const queueId = await scan("printer@contoso.com", ANNA);
  const held = await event("recipient.held");
  names["contoso.com"] = { mx: [[10, MX]] };
  clock.advance(1000);
  await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

  expect(held.remedy).toContain("host");
});
