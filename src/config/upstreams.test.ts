import { describe, expect, test } from "vitest";
import { formatFinding } from "./finding.ts";
import type { UpstreamConfig } from "./config.ts";
import { parseConfig } from "./load.ts";
import type { LoadedConfig } from "./load.ts";

const SECRET = "credential: { type: client-secret, client_id: app, secret: { file: s } }";
const PASSWORD = "credential: { type: password, password: { file: p } }";
const MIB = 2 ** 20;

/** A file with one upstream, or several; the first is what the only route uses. */
function load(upstreams: Readonly<Record<string, string>>, more = "", organization = "tenant: contoso.onmicrosoft.com, "): LoadedConfig {
  const entries = Object.entries(upstreams).map(([name, keys]) => `  ${name}: { ${keys} }`);
  const text = `hostname: relay.contoso.com
data_dir: data
organization: { ${organization}domains: [contoso.com], postmaster: it@contoso.com, default_sender: printers@contoso.com }
listeners: { a: { listen: ":25" } }
clients: { c: { networks: [10.0.0.0/8], max_message_size: 1MiB } }
upstreams:
${entries.join("\n")}
routes: [{ name: default, via: [${Object.keys(upstreams)[0]}] }]
${more}`;
  return parseConfig(text, "p.yaml", "/etc/postern");
}

function door(keys: string, more = ""): UpstreamConfig {
  const loaded = load({ one: keys }, more);
  if (!loaded.ok) throw new Error(loaded.faults.map(formatFinding).join("\n"));
  return loaded.config.upstreams["one"] as UpstreamConfig;
}

/** What is said about the upstreams, without place and `no route uses`. */
function said(upstreams: Readonly<Record<string, string>>, organization?: string): string[] {
  const loaded = load(upstreams, "", organization);
  return (loaded.ok ? loaded.warnings : loaded.faults)
    .map((finding) => formatFinding(finding).replace(/^\S+ upstreams\.one/, ""))
    .filter((line) => !line.includes("no route uses"));
}

describe("what a file leaves out", () => {
  test("a mailbox gets the cloud's hosts, and Microsoft's limits less a reserve", () => {
    expect(door(`type: smtp-auth, mailbox: scanner@contoso.com, ${SECRET}`)).toEqual({
      type: "smtp-auth",
      preset: undefined,
      mailbox: "scanner@contoso.com",
      host: "smtp.office365.com",
      port: 587,
      credential: { type: "client-secret", client_id: "app", secret: { file: "/etc/postern/s" }, expires: undefined },
      serves: "any",
      tenant: "contoso.onmicrosoft.com",
      cloud: "worldwide",
      authority: "https://login.microsoftonline.com/contoso.onmicrosoft.com",
      scope: "https://outlook.office365.com/.default",
      sender: { mode: "auto", address: "scanner@contoso.com", send_as: [] },
      limits: {
        messages_per_minute: 30,
        messages_per_hour: undefined,
        connections: 2,
        recipients_per_day: 9500,
        external_recipients_per_day: undefined,
        recipients_per_message: 450,
        max_message_size: 33 * MIB,
      },
      ca: [],
      source_address: undefined,
      proxy: undefined,
      dns_servers: [],
    });
  });

  test("a smart host has defaults of its own, and takes the surroundings from the network section", () => {
    const network = "network: { ca: corp.pem, source_address: 10.0.0.5, proxy: 'http://proxy:3128', dns: { servers: '10.0.0.53' } }\n";

    expect(door("type: smart-host, host: mail.corp.local", network)).toEqual({
      type: "smart-host",
      host: "mail.corp.local",
      port: 25,
      tls: "opportunistic",
      credential: undefined,
      sender: { mode: "keep", address: undefined, send_as: [] },
      limits: {
        messages_per_minute: undefined,
        messages_per_hour: undefined,
        connections: 20,
        recipients_per_day: undefined,
        external_recipients_per_day: undefined,
        recipients_per_message: 100,
        max_message_size: 33 * MIB,
      },
      ca: ["/etc/postern/corp.pem"],
      source_address: "10.0.0.5",
      proxy: "http://proxy:3128",
      dns_servers: ["10.0.0.53"],
    });
  });

  test("High Volume Email gets its host, no rate, 50 recipients, and internal recipients only", () => {
    expect(door(`type: smtp-auth, preset: hve, mailbox: a@contoso.com, ${PASSWORD}`)).toMatchObject({
      host: "smtp.hve.mx.microsoft",
      port: 587,
      serves: "internal",
      credential: { username: "a@contoso.com", password: { file: "/etc/postern/p" } },
      limits: { messages_per_minute: undefined, recipients_per_day: undefined, recipients_per_message: 50, max_message_size: 9500 * 1024 },
    });
  });

  test("Azure Communication Services gets its host and its hourly limit", () => {
    const keys = "type: smtp-auth, preset: acs, mailbox: a@contoso.com";
    const credential = "credential: { type: password, username: 'mail|app|tenant', password: { env: P } }";

    expect(door(`${keys}, ${credential}`)).toMatchObject({
      host: "smtp.azurecomm.net",
      serves: "any",
      credential: { username: "mail|app|tenant" },
      limits: { messages_per_minute: 30, messages_per_hour: 100, recipients_per_message: 50 },
    });
  });

  test("what the file says goes before a preset, and none means no limit", () => {
    const keys = `type: smtp-auth, preset: hve, mailbox: a@contoso.com, host: smtp-hve.office365.com, ${PASSWORD}`;

    expect(door(`${keys}, limits: { messages_per_minute: 600, recipients_per_message: 20 }`)).toMatchObject({
      host: "smtp-hve.office365.com",
      limits: { messages_per_minute: 600, recipients_per_message: 20, connections: 2 },
    });
    expect(
      door(`type: smtp-auth, mailbox: a@contoso.com, ${SECRET}, limits: { recipients_per_day: none }`).limits.recipients_per_day,
    ).toBeUndefined();
  });

  test("Direct Send and a connector look up the first accepted domain, with TLS required and 100 recipients a message", () => {
    const place = { host: undefined, domain: "contoso.com", port: 25, mx_suffixes: ["mail.protection.outlook.com", "mx.microsoft"] };
    const limits = { messages_per_minute: undefined, recipients_per_message: 100, max_message_size: 33 * MIB };

    expect(door("type: direct-send")).toMatchObject({ ...place, tls: "required", limits, sender: { mode: "keep" } });
    expect(door("type: connector")).toMatchObject({ ...place, certificate: undefined, limits });
    expect(door("type: connector, certificate: c.pem, key: c.key, passphrase: { file: p }, host: mx.example")).toMatchObject({
      host: "mx.example",
      certificate: { certificate: "/etc/postern/c.pem", key: "/etc/postern/c.key", passphrase: { file: "/etc/postern/p" } },
    });
  });

  test("Graph sends MIME up to 2000 KiB, four at a time, and more as drafts where that is allowed", () => {
    const keys = `type: graph, mailbox: scanner@contoso.com, ${SECRET}`;

    expect(door(keys)).toMatchObject({
      graph_host: "https://graph.microsoft.com",
      scope: "https://graph.microsoft.com/.default",
      large_messages: "next",
      sender: { mode: "auto", address: "scanner@contoso.com" },
      limits: { messages_per_minute: undefined, connections: 4, recipients_per_day: 9500, max_message_size: 2000 * 1024 },
    });
    expect(door(`${keys}, large_messages: draft, graph_host: "127.0.0.1:8443"`)).toMatchObject({
      graph_host: "https://127.0.0.1:8443",
      limits: { max_message_size: 33 * MIB },
    });
  });

  test("mailbox: from keeps every sender", () => {
    expect(door(`type: graph, mailbox: from, allow: "*@contoso.com", ${SECRET}`)).toMatchObject({
      mailbox: "from",
      allow: ["*@contoso.com"],
      sender: { mode: "keep", address: undefined },
    });
  });

  test("a sender that is rewritten becomes the default sender where the door has no mailbox", () => {
    expect(door("type: direct-send, sender: { mode: rewrite }").sender).toEqual({
      mode: "rewrite",
      address: "printers@contoso.com",
      send_as: [],
    });
  });

  test.each([
    ["gcc", "https://login.microsoftonline.com/x.example", "smtp.office365.com", "https://outlook.office365.com/.default"],
    ["gcc-high", "https://login.microsoftonline.us/x.example", "smtp.office365.us", "https://outlook.office365.us/.default"],
    ["dod", "https://login.microsoftonline.us/x.example", "outlook-dod.office365.us", "https://outlook-dod.office365.us/.default"],
    ["china", "https://login.partner.microsoftonline.cn/x.example", "smtp.partner.outlook.cn", "https://partner.outlook.cn/.default"],
  ])("a credential of another tenant and of cloud %s signs in there", (cloud, authority, host, scope) => {
    const credential = `credential: { type: client-secret, client_id: app, secret: { file: s }, tenant: x.example, cloud: ${cloud} }`;

    expect(door(`type: smtp-auth, mailbox: a@contoso.com, ${credential}`)).toMatchObject({ authority, host, scope, cloud });
  });

  test("a person's sign-in asks for delegated scopes", () => {
    const credential = "credential: { type: device-code, client_id: app }";

    expect(door(`type: smtp-auth, mailbox: a@contoso.com, ${credential}`)).toMatchObject({
      scope: "https://outlook.office.com/SMTP.Send",
      credential: { type: "device-code", client_id: "app" },
    });
    expect(door(`type: graph, mailbox: a@contoso.com, ${credential}`)).toMatchObject({
      scope: "https://graph.microsoft.com/Mail.Send https://graph.microsoft.com/Mail.Send.Shared",
    });
  });

  test("an upstream's own network goes before the file's", () => {
    const network =
      "network: { proxy: 'http://proxy:3128', source_address: 10.0.0.5, dns: { servers: ['10.0.0.53:5353', '[fd00::53]:53'] } }\n";
    const own = "network: { proxy: none, ca: own.pem, source_address: none, dns: { servers: [] } }";

    expect(door("type: direct-send", network)).toMatchObject({ dns_servers: ["10.0.0.53:5353", "[fd00::53]:53"] });
    expect(door(`type: direct-send, ${own}`, network)).toMatchObject({
      proxy: undefined,
      source_address: undefined,
      dns_servers: [],
      ca: ["/etc/postern/own.pem"],
    });
  });
});

describe("what does not fit together", () => {
  const MAILBOX = "type: smtp-auth, mailbox: a@contoso.com";

  test.each([
    ["type: direct-send, tls: none", '.tls: expected one of: required, opportunistic, not "none"'],
    ["type: connector, tls: opportunistic", '.tls: expected required, not "opportunistic"'],
    ["type: connector, certificate: c.pem", ".certificate: expected a key with the certificate"],
    ["type: connector, key: c.key", ".key: expected a certificate with the key"],
    [`${MAILBOX}, preset: hvee, ${PASSWORD}`, '.preset: expected one of: hve, acs, not "hvee"'],
    [
      `${MAILBOX}, preset: acs, ${PASSWORD}`,
      ".credential: missing username; expected RESOURCE|CLIENT-ID|TENANT-ID, or a user name that was made there",
    ],
    [
      `${MAILBOX}, preset: acs, ${SECRET}`,
      ".credential.type: expected password, not client-secret: Azure Communication Services takes the application's client secret as a password",
    ],
    [
      `type: graph, mailbox: nobody, ${SECRET}`,
      '.mailbox: expected an address with a domain such as scanner@contoso.com, or from, not "nobody"',
    ],
    [`type: graph, mailbox: from, ${SECRET}`, ".mailbox: missing allow; expected the senders whose mailbox may be used"],
    [
      `type: graph, mailbox: a@contoso.com, allow: any, ${SECRET}`,
      ".allow: expected mailbox: from with it; for addresses that this mailbox may send as there is sender.send_as",
    ],
    [
      `type: graph, mailbox: from, allow: any, sender: { mode: rewrite }, ${SECRET}`,
      ".sender.mode: expected auto or keep with mailbox: from, where every sender uses its own mailbox",
    ],
    [
      `type: graph, mailbox: a@contoso.com, ${PASSWORD}`,
      ".credential.type: expected one of: client-secret, client-certificate, device-code, managed-identity",
    ],
    ["type: smart-host, host: a, ca: x, network: { ca: y }", ".network.ca: expected ca either here or beside type, not in both places"],
    [
      "type: direct-send, network: { dns: { servers: [dns.example] } }",
      '.network.dns.servers[0]: expected an IP address, with or without a port, not "dns.example"',
    ],
    [
      "type: direct-send, limits: { recipients_per_message: 0 }",
      ".limits.recipients_per_message: expected a whole number from 1 to 1000, not 0",
    ],
    [`${MAILBOX}, ${SECRET}, sender: { mode: kepp }`, '.sender.mode: expected one of: auto, keep, rewrite, on-behalf-of, not "kepp"'],
  ])("%s", (keys, expected) => {
    expect(said({ one: keys })).toEqual([expected]);
  });

  test("a proxy's password is refused and never shown", () => {
    const lines = said({ one: "type: direct-send, network: { proxy: 'http://relay:Canary77@proxy:3128' }" });

    expect(lines).toEqual([".network.proxy: expected none, or a URL without a user such as http://proxy.contoso.com:3128"]);
  });

  test("OAuth needs a tenant, a machine's own identity does not", () => {
    expect(said({ one: `${MAILBOX}, ${SECRET}` }, "")).toEqual([
      ".credential: missing tenant; expected organization.tenant, or a tenant in this credential",
    ]);
    expect(said({ one: `${MAILBOX}, credential: { type: managed-identity }` }, "")).toEqual([]);
    expect(said({ one: `${MAILBOX}, preset: hve, ${PASSWORD}` }, "")).toEqual([]);
  });

  test("a mailbox outside the organization's domains is warned of, unless it may be elsewhere", () => {
    const foreign = MAILBOX.replace("contoso.com", "contos.com");
    const warned = [
      ".mailbox: warning: contos.com is not in organization.domains (contoso.com): add it there if it is a domain of the organization, else correct the address",
    ];

    expect(said({ one: `${foreign}, credential: { type: managed-identity }` })).toEqual(warned);
    expect(said({ one: `type: graph, mailbox: scanner@contos.com, credential: { type: managed-identity }` })).toEqual(warned);
    expect(said({ one: `type: graph, mailbox: from, allow: any, credential: { type: managed-identity }` })).toEqual([]);
    expect(said({ one: `${foreign}, credential: { type: managed-identity, tenant: contos.onmicrosoft.com }` })).toEqual([]);
    expect(said({ one: `${foreign}, preset: acs, credential: { type: password, username: u, password: { file: p } }` })).toEqual([]);
  });

  test("a client id that is none is warned of, and not shown", () => {
    expect(said({ one: `${MAILBOX}, credential: { type: device-code, client_id: postern-relay }` })).toEqual([
      ".credential.client_id: warning: is no id such as 11111111-2222-3333-4444-555555555555: take Application (client) ID on its overview in Entra, not its name",
    ]);
    expect(said({ one: `${MAILBOX}, credential: { type: managed-identity, client_id: postern-relay }` })).toEqual([
      ".credential.client_id: warning: is no id such as 11111111-2222-3333-4444-555555555555: take the identity's Client ID in the Azure portal, not its name",
    ]);
    expect(said({ one: `${MAILBOX}, credential: { type: device-code, client_id: 0A0A0A0A-2222-3333-4444-555555555555 }` })).toEqual([]);
  });

  test("a limit over Microsoft's is warned of where Microsoft has it, and nowhere else", () => {
    const over = "limits: { messages_per_minute: 31, connections: 4, recipients_per_day: none }";
    const most = "limits: { messages_per_minute: 30, connections: 3, recipients_per_day: 10000 }";

    expect(said({ one: `${MAILBOX}, credential: { type: managed-identity }, ${over}` })).toEqual([
      ".limits.messages_per_minute: warning: Microsoft takes 30 messages a minute of a mailbox at most, and slows down or refuses what is over that",
      ".limits.connections: warning: Microsoft takes 3 connections of a mailbox at most, and slows down or refuses what is over that",
      ".limits.recipients_per_day: warning: Microsoft takes 10,000 recipients a day of a mailbox at most, and slows down or refuses what is over that",
    ]);
    expect(said({ one: `${MAILBOX}, credential: { type: managed-identity }, ${most}` })).toEqual([]);
    const graph =
      "type: graph, mailbox: a@contoso.com, credential: { type: managed-identity }, limits: { connections: 4, recipients_per_day: 10001 }";
    expect(said({ one: graph })).toEqual([expect.stringMatching(/^\.limits\.recipients_per_day: warning: /)]);
    expect(said({ one: `${MAILBOX}, host: smtp.example.net, ${PASSWORD}, ${over}` })).toEqual([]);
    expect(said({ one: `${MAILBOX}, preset: hve, ${PASSWORD}, ${over}` })).toEqual([]);
  });

  test("a password towards Exchange Online is warned of, towards others not", () => {
    expect(said({ one: `${MAILBOX}, ${PASSWORD}` })).toEqual([
      expect.stringMatching(/^\.credential\.type: warning: Exchange Online switches passwords for SMTP off/),
    ]);
    expect(said({ one: `${MAILBOX}, host: smtp.example.net, ${PASSWORD}` })).toEqual([]);
    expect(said({ one: `${MAILBOX}, preset: hve, ${PASSWORD}` })).toEqual([]);
  });

  test("Direct Send and a connector on one address are warned of, on two they are not", () => {
    expect(said({ one: "type: direct-send, domain: contoso.com", two: "type: connector" })).toEqual([
      expect.stringMatching(/^: warning: goes to the same host from the same address as two/),
    ]);
    expect(said({ one: "type: direct-send", two: "type: connector, network: { source_address: 10.0.0.9 }" })).toEqual([]);
    expect(said({ one: "type: direct-send, domain: plant.contoso.com", two: "type: connector" })).toEqual([]);
  });
});
