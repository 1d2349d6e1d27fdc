import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { usedKeys } from "../../test/support/keys.ts";
import { RawSmtpClient } from "../../test/fakes/raw-smtp-client.ts";
import { ManualClock } from "../platform/clock.ts";
import type { ClientCertificate } from "./pki.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";
import type { SimulatorEvent } from "./simulator-events.ts";
import { connectorFrom } from "./tenant-mail-flow.ts";
import { CONNECTOR_ADDRESS, findMailbox, makeTenant } from "./tenant.ts";

const DAY_MS = 24 * 60 * 60_000;
const CONTENT = "From: erp@contoso.com\r\nTo: anna@contoso.com\r\nSubject: Invoice\r\nMessage-ID: <1@erp.contoso.com>\r\n\r\nbody\r\n";
const RELAY_DENIED = "550 5.7.64 TenantAttribution; Relay Access Denied";
const UNKNOWN = "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)";

const directory = mkdtempSync(path.join(tmpdir(), "stand-in-"));
const clock = new ManualClock(Date.now());
const clients: RawSmtpClient[] = [];
let simulator: Simulator;
let refusals: Extract<SimulatorEvent, { type: "session.refused" }>[] = [];
const issued = new Map<string, ClientCertificate>();

beforeAll(async () => {
  simulator = await startSimulator({ keys: usedKeys(), directory, clock });
  simulator.on((event) => void (event.type === "session.refused" && refusals.push(event)));
  const names = ["contoso.com", "mail.contoso.com", "fabrikam.example"];
  for (const name of names) issued.set(name, await simulator.issueClientCertificate({ names: [name] }));
  issued.set(
    "expired",
    await simulator.issueClientCertificate({
      names: ["contoso.com"],
      notBefore: clock.now() - 20 * DAY_MS,
      notAfter: clock.now() - DAY_MS,
    }),
  );
});

beforeEach(() => {
  Object.assign(simulator.tenant, makeTenant());
  refusals = [];
});

afterEach(() => {
  for (const client of clients.splice(0)) client.drop();
  simulator.reset();
});

afterAll(async () => {
  await simulator.close();
  rmSync(directory, { recursive: true });
});

const bracketed = (text: string): RegExp =>
  new RegExp(
    `^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")} \\[DB5EUR03FT034\\.eop-EUR03\\.prod\\.protection\\.outlook\\.com \\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z [0-9A-F]{16}\\]$`,
  );

interface How {
  /** Shown in the TLS handshake; with `alone` without its intermediate. */
  readonly certificate?: string;
  readonly alone?: boolean;
  readonly from?: string;
  readonly tls?: boolean;
  readonly helo?: string;
}

async function connected(how: How = {}): Promise<RawSmtpClient> {
  const client = await RawSmtpClient.connect(simulator.ports.mx, "127.0.0.1", how.from);
  clients.push(client);
  await client.reply();
  const helo = `EHLO ${how.helo ?? "relay.contoso.com"}`;
  await client.say(helo);
  if (how.tls === false) return client;
  await client.say("STARTTLS");
  const pair = issued.get(how.certificate ?? "");
  await client.secure({
    ca: simulator.caPem,
    servername: "contoso-com.mail.protection.outlook.com",
    ...(pair === undefined ? {} : { key: pair.keyPem, cert: how.alone === true ? pair.certificatePem : pair.chainPem }),
  });
  await client.say(helo);
  return client;
}

/** MAIL and RCPT; the answer to RCPT. */
async function named(client: RawSmtpClient, sender: string, recipient: string): Promise<string | undefined> {
  await client.say(`MAIL FROM:<${sender}>`);
  return await client.say(`RCPT TO:<${recipient}>`);
}

async function finished(client: RawSmtpClient, content = CONTENT): Promise<string | undefined> {
  await client.say("DATA");
  client.write(content);
  return await client.say(".");
}

describe("the dialogue", () => {
  test("banner, list and every reply are Microsoft's, in clear text and after STARTTLS", async () => {
    const list = (secure: boolean): string =>
      [
        "250-DB5EUR03FT034.mail.protection.outlook.com Hello [127.0.0.1]",
        "250-SIZE 157286400",
        "250-PIPELINING",
        "250-DSN",
        "250-ENHANCEDSTATUSCODES",
        ...(secure ? [] : ["250-STARTTLS"]),
        "250-8BITMIME",
        "250-BINARYMIME",
        "250-CHUNKING",
        "250 SMTPUTF8",
      ].join("\n");
    const client = await RawSmtpClient.connect(simulator.ports.mx);
    clients.push(client);

    expect(await client.reply()).toMatch(
      /^220 DB5EUR03FT034\.mail\.protection\.outlook\.com Microsoft ESMTP MAIL Service ready at \w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d \+0000 \[[0-9A-F]{16}\]$/,
    );
    expect(await client.say("EHLO relay.contoso.com")).toBe(list(false));
    expect(await client.say("STARTTLS")).toBe("220 2.0.0 SMTP server ready");
    await client.secure({ ca: simulator.caPem, servername: "contoso-com.mail.protection.outlook.com" });
    expect(await client.say("EHLO relay.contoso.com")).toBe(list(true));
    expect(await client.say("AUTH LOGIN")).toMatch(bracketed("504 5.7.4 Unrecognized authentication type"));
    expect(await client.say("MAIL FROM:<erp@contoso.com>")).toBe("250 2.1.0 Sender OK");
    expect(await client.say("RCPT TO:<anna@contoso.com>")).toBe("250 2.1.5 Recipient OK");
    expect(await finished(client)).toMatch(
      /^250 2\.6\.0 <1@erp\.contoso\.com> \[InternalId=\d+, Hostname=AM0P192MB0456\.EURP192\.PROD\.OUTLOOK\.COM\] 104 bytes in \d+\.\d{3}, \d+\.\d{3} KB\/sec Queued mail for delivery$/,
    );
    expect(await client.say("QUIT")).toBe("221 2.0.0 Service closing transmission channel");
  });

  test("clear text is taken where no connector asks for TLS, and the view knows the door", async () => {
    const client = await connected({ tls: false });

    expect(await named(client, "nobody@contoso.com", "anna@contoso.com")).toBe("250 2.1.5 Recipient OK");
    await finished(client);

    expect(simulator.messages()).toMatchObject([
      { door: "direct-send", method: "none", mailbox: "", tls: "", messageId: "<1@erp.contoso.com>", internal: ["anna@contoso.com"] },
    ]);
  });

  test("a message without an id is told the one it got", async () => {
    const client = await connected();
    await named(client, "erp@contoso.com", "anna@contoso.com");

    expect(await finished(client, CONTENT.replace(/Message-ID.*\r\n/, ""))).toMatch(
      /^250 2\.6\.0 <[0-9a-f-]{36}@DB5EUR03FT034\.mail\.protection\.outlook\.com> \[InternalId=/,
    );
  });

  test("an idle connection ends after five minutes", async () => {
    const client = await connected();

    clock.advance(5 * 60_000);

    expect(await client.reply()).toMatch(bracketed("421 4.4.1 Connection timed out. Total session duration: 00:05:00"));
  });
});

describe("mail to the tenant", () => {
  test.each([
    ["anna@contoso.com", "250 2.1.5 Recipient OK"],
    ["ANNA@Contoso.com", "250 2.1.5 Recipient OK"],
    ["hve@contoso.com", "250 2.1.5 Recipient OK"],
    ["anna@contoso.onmicrosoft.com", "250 2.1.5 Recipient OK", true],
    ["drop@contoso.com", "250 2.1.5 Recipient OK"],
  ])("%s is taken from anybody", async (recipient, text, alias = false) => {
    if (alias) findMailbox(simulator.tenant, "anna@contoso.com")?.aliases.push(recipient);

    expect(await named(await connected(), "someone@example.net", recipient)).toBe(text);
  });

  test("a recipient the directory does not know is refused, unless edge blocking is off", async () => {
    const client = await connected();

    expect(await named(client, "someone@example.net", "nobody@contoso.com")).toMatch(bracketed(UNKNOWN));
    simulator.tenant.edgeBlocking = false;
    expect(await client.say("RCPT TO:<nobody@contoso.com>")).toBe("250 2.1.5 Recipient OK");
  });

  test("with RejectDirectSend anonymous mail in the tenant's name is refused; foreign and null senders pass", async () => {
    simulator.tenant.rejectDirectSend = true;
    const client = await connected();

    expect(await named(client, "erp@contoso.com", "anna@contoso.com")).toMatch(
      bracketed("550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources"),
    );
    for (const sender of ["someone@example.net", ""]) {
      await client.say("RSET");
      expect(await named(client, sender, "anna@contoso.com")).toBe("250 2.1.5 Recipient OK");
    }
  });

  test.each([
    ["an OnPremises connector by address", { from: CONNECTOR_ADDRESS }, "connector"],
    ["an OnPremises connector by certificate", { certificate: "contoso.com" }, "connector"],
    ["a Partner connector", { from: "127.0.0.3" }, "direct-send"],
  ] as const)("%s lifts RejectDirectSend", async (_, how, door) => {
    simulator.tenant.rejectDirectSend = true;
    simulator.tenant.connectors.push(connectorFrom({ name: "partner", type: "Partner", senderIpAddresses: ["127.0.0.3"] }));
    const client = await connected(how);

    expect(await named(client, "erp@contoso.com", "anna@contoso.com")).toBe("250 2.1.5 Recipient OK");
    await finished(client);

    expect(simulator.messages()[0]?.door).toBe(door);
  });

  test("an anonymous client that calls itself like the recipient's domain is refused", async () => {
    expect(await named(await connected({ helo: "contoso.com" }), "a@example.net", "anna@contoso.com")).toMatch(
      bracketed("550 5.7.506 Access Denied, Bad HELO"),
    );
  });

  test("a tenant without licences takes no mail", async () => {
    simulator.tenant.licenses = 0;

    expect(await named(await connected(), "a@example.net", "anna@contoso.com")).toMatch(
      /^550 4\.4\.4 Mail received as unauthenticated, .*ATTR5/,
    );
  });

  test.each([
    ["TLS", { requireTls: true }, { tls: false }, "451 5.7.3 STARTTLS is required to send mail"],
    ["an address", { restrictDomainsToIpAddresses: true, senderIpAddresses: ["127.0.0.3"] }, {}, "550 5.7.51 TenantInboundAttribution; "],
    [
      "a certificate",
      { restrictDomainsToCertificate: true, tlsSenderCertificateName: "fabrikam.example" },
      {},
      "550 5.7.51 TenantInboundAttribution; ",
    ],
  ])("a Partner connector that demands %s refuses its domains without it", async (_, demands, how, text) => {
    simulator.tenant.connectors.push(connectorFrom({ name: "partner", type: "Partner", senderDomains: ["fabrikam.example"], ...demands }));

    const client = await connected(how);

    expect((await named(client, "a@fabrikam.example", "anna@contoso.com"))?.startsWith(text)).toBe(true);
    await client.say("RSET");
    expect(await named(client, "a@example.net", "anna@contoso.com")).toBe("250 2.1.5 Recipient OK");
  });

  test("over 200 recipients of one domain are told to be split", async () => {
    simulator.tenant.edgeBlocking = false;
    const client = await connected();
    await client.say("MAIL FROM:<a@example.net>");
    for (let number = 1; number <= 200; number += 1) expect(await client.say(`RCPT TO:<r${number}@contoso.com>`)).toMatch(/^250/);

    expect(await client.say("RCPT TO:<r201@contoso.com>")).toMatch(bracketed("452 4.5.3 Too many recipients"));
  });

  test("mailboxes of two regions are told apart at the second", async () => {
    Object.assign(findMailbox(simulator.tenant, "bruno@contoso.com") ?? {}, { region: "NAM" });
    const client = await connected();

    expect(await named(client, "a@example.net", "anna@contoso.com")).toMatch(/^250/);
    expect(await client.say("RCPT TO:<bruno@contoso.com>")).toMatch(bracketed("452 4.5.3 Recipients belong to multiple regions ATTR38"));
    await client.say("RSET");
    expect(await named(client, "a@example.net", "bruno@contoso.com")).toMatch(/^250/);
  });
});

describe("relay to the outside", () => {
  const OK = "250 2.1.5 Recipient OK";
  test.each<[string, How, string, string]>([
    ["by certificate, accepted sender", { certificate: "contoso.com" }, "erp@contoso.com", "certificate"],
    ["by certificate, foreign sender", { certificate: "contoso.com" }, "a@example.net", "certificate"],
    ["by certificate, null sender", { certificate: "contoso.com" }, "", "certificate"],
    ["by address, accepted sender", { from: CONNECTOR_ADDRESS }, "erp@contoso.com", "address"],
    ["by address in clear text", { from: CONNECTOR_ADDRESS, tls: false }, "erp@contoso.com", "address"],
    ["by address, sender in the initial domain", { from: CONNECTOR_ADDRESS }, "erp@contoso.onmicrosoft.com", "address"],
  ])("passes %s", async (_, how, sender, method) => {
    const client = await connected(how);

    expect(await named(client, sender, "customer@example.org")).toBe(OK);
    expect(await finished(client)).toMatch(/^250 2\.6\.0 /);

    expect(simulator.messages()).toMatchObject([{ door: "connector", method, external: ["customer@example.org"] }]);
  });

  test.each<[string, How, string]>([
    ["by address, foreign sender", { from: CONNECTOR_ADDRESS }, "a@example.net"],
    ["by address, null sender", { from: CONNECTOR_ADDRESS }, ""],
    ["from another address", { from: "127.0.0.9" }, "erp@contoso.com"],
    ["with the certificate of another name", { certificate: "fabrikam.example" }, "erp@contoso.com"],
    ["with an expired certificate", { certificate: "expired" }, "erp@contoso.com"],
    ["with the certificate alone, without its intermediate", { certificate: "contoso.com", alone: true }, "erp@contoso.com"],
  ])("is denied %s", async (_, how, sender) => {
    expect(await named(await connected(how), sender, "customer@example.org")).toMatch(bracketed(RELAY_DENIED));
  });

  test.each<[string, How, RegExp]>([
    ["an expired certificate", { certificate: "expired" }, /expired on/],
    ["a missing intermediate", { certificate: "contoso.com", alone: true }, /chain is incomplete/],
    ["no connector", { from: "127.0.0.9" }, /neither certificate nor address match a connector/],
  ])("the operator is told why, the client is not: %s", async (_, how, why) => {
    await named(await connected(how), "erp@contoso.com", "customer@example.org");

    expect(refusals).toMatchObject([{ reply: RELAY_DENIED }]);
    expect(refusals[0]?.why).toMatch(why);
  });

  test("a connector of type Partner is not enough", async () => {
    simulator.tenant.connectors = [connectorFrom({ name: "partner", type: "Partner", senderIpAddresses: ["127.0.0.1"] })];

    expect(await named(await connected(), "erp@contoso.com", "customer@example.org")).toMatch(bracketed(RELAY_DENIED));
    expect(refusals[0]?.why).toBe("the connector partner is of type Partner");
  });

  test("a host's certificate counts for its domain where the connector says *.contoso.com, and not where it names the host", async () => {
    simulator.tenant.connectors = [connectorFrom({ name: "relay", tlsSenderCertificateName: "mail.contoso.com" })];
    const client = await connected({ certificate: "mail.contoso.com" });

    expect(await named(client, "", "customer@example.org")).toMatch(bracketed(RELAY_DENIED));
    simulator.tenant.connectors = [connectorFrom({ name: "relay", tlsSenderCertificateName: "*.contoso.com" })];
    expect(await client.say("RCPT TO:<customer@example.org>")).toBe(OK);
  });

  test("a connector that is switched off does not count", async () => {
    for (const connector of simulator.tenant.connectors) connector.enabled = false;

    expect(await named(await connected({ certificate: "contoso.com" }), "erp@contoso.com", "customer@example.org")).toMatch(
      bracketed(RELAY_DENIED),
    );
  });

  test("the tenant's external recipients of a day have their limit, which the next day lifts", async () => {
    clock.advance(DAY_MS);
    simulator.tenant.trial = true;
    const many = async (count: number): Promise<string | undefined> => {
      const client = await connected({ certificate: "contoso.com" });
      await client.say("MAIL FROM:<erp@contoso.com>");
      for (let number = 0; number < count; number += 1) await client.say(`RCPT TO:<a@d${number}.example>`);
      return await finished(client);
    };
    for (let message = 0; message < 10; message += 1) expect(await many(500)).toMatch(/^250/);

    expect(await many(1)).toMatch(/^550 5\.7\.232 /);
    clock.advance(DAY_MS);
    expect(await many(1)).toMatch(/^250/);
  });
});
