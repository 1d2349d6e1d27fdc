import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { formatFinding } from "./finding.ts";
import { loadConfig, parseConfig } from "./load.ts";
import type { LoadedConfig } from "./load.ts";
import { MINIMAL_EXAMPLE } from "./reference.ts";

const EXAMPLE = new URL("../../config/postern.example.yaml", import.meta.url);
const DEMO = new URL("../../config/demo.yaml", import.meta.url);

function lines(loaded: LoadedConfig): string[] {
  return (loaded.ok ? loaded.warnings : loaded.faults).map(formatFinding);
}

/** What is said about a text. */
function said(text: string): string[] {
  return lines(parseConfig(text, "p.yaml", "/etc/postern"));
}

/** The minimal example with one piece replaced; the piece must be there. */
function minimalWith(piece: string, replacement: string): string {
  expect(MINIMAL_EXAMPLE).toContain(piece);
  return MINIMAL_EXAMPLE.replace(piece, replacement);
}

describe("files that work", () => {
  test("the minimal example of the reference page is accepted without a word", () => {
    const loaded = parseConfig(MINIMAL_EXAMPLE, "p.yaml", "/etc/postern");

    expect(lines(loaded)).toEqual([]);
    expect(loaded.ok).toBe(true);
  });

  test("what the minimal example leaves out has the documented defaults", () => {
    const loaded = parseConfig(MINIMAL_EXAMPLE, "p.yaml", "/etc/postern");

    expect(loaded.ok && loaded.config).toMatchObject({
      organization: { cloud: "worldwide", default_sender: "it@contoso.com" },
      listeners: { printers: { listen: [{ host: undefined, port: 25, text: ":25" }], tls: { mode: "none", min_version: "TLSv1.2" } } },
      clients: {
        floor: {
          networks: ["10.20.0.0/16"],
          listeners: ["printers"],
          senders: ["internal"],
          fallback_sender: "it@contoso.com",
          recipients: ["internal"],
          max_message_size: 33 * 2 ** 20,
          priority: "normal",
          allow_public: false,
        },
      },
      upstreams: {
        scans: {
          host: "smtp.office365.com",
          port: 587,
          tenant: "contoso.onmicrosoft.com",
          authority: "https://login.microsoftonline.com/contoso.onmicrosoft.com",
          scope: "https://outlook.office365.com/.default",
          ca: [],
          credential: { secret: { file: "/etc/postern/secrets/entra" } },
          limits: { messages_per_minute: 30, connections: 2, recipients_per_message: 450, max_message_size: 33 * 2 ** 20 },
        },
      },
      routes: [{ name: "default", match: undefined, via: ["scans"] }],
      retry: { first: 60_000, factor: 2, max: 1_800_000, expire_after: 432_000_000, warn_after: 14_400_000 },
      bounces: { to: "both", language: "en" },
      queue: { min_free: 512 * 2 ** 20, max_size: undefined },
      history: { keep: 30 * 86_400_000, failed_content: 7 * 86_400_000 },
      network: { proxy: undefined, ca: [], source_address: undefined, dns: { servers: [] } },
      admin: { listen: { host: "127.0.0.1", port: 8025 } },
      metrics: { listen: undefined },
      alerts: { webhook: undefined, syslog: undefined, mail: undefined },
      log: { level: "info", subjects: false, transcripts: "errors" },
    });
  });

  test.each([
    ["udp://192.0.2.5", { transport: "udp", host: "192.0.2.5", port: 514 }],
    ["tcp://SIEM.contoso.com:601", { transport: "tcp", host: "siem.contoso.com", port: 601 }],
    ["tls://[fd00::5]", { transport: "tls", host: "fd00::5", port: 6514 }],
    ["unix:/dev/log", { transport: "unix", path: "/dev/log" }],
  ])("the syslog server %s is understood", (address, expected) => {
    const loaded = parseConfig(`${MINIMAL_EXAMPLE}\nalerts: { syslog: { address: "${address}" } }\n`, "p.yaml", "/etc/postern");

    expect(loaded.ok && loaded.config.alerts.syslog).toEqual({ address: expected, facility: "mail" });
  });

  test.each(["192.0.2.5:514", "udp://192.0.2.5:0", "tcp://siem:99999", "tls://[192.0.2.5]", "unix:log", "http://siem", "udp://a b"])(
    "as a syslog server %s is none",
    (address) => {
      expect(said(`${MINIMAL_EXAMPLE}\nalerts: { syslog: { address: "${address}" } }\n`)).toEqual([
        expect.stringMatching(/^p\.yaml:\d+:\d+ alerts\.syslog\.address: expected an address such as udp:\/\//),
      ]);
    },
  );

  test.each([EXAMPLE, DEMO])("the shipped file %s is accepted without a word", async (url) => {
    expect(lines(await loadConfig(url.pathname))).toEqual([]);
  });

  test("the free-space floor is never under three times the largest message", () => {
    const text = `${minimalWith("[10.20.0.0/16] }", "[10.20.0.0/16], max_message_size: 100MiB }")}queue: { min_free: 1MiB }\n`;

    const loaded = parseConfig(text, "p.yaml", "/etc/postern");

    expect(loaded.ok && loaded.config.queue.min_free).toBe(300 * 2 ** 20);
  });

  test("a client with max_message_size over its door's limit is accepted with a warning", () => {
    expect(said(minimalWith("[10.20.0.0/16] }", "[10.20.0.0/16], max_message_size: 34MiB }"))).toEqual([
      "p.yaml:10:56 clients.floor.max_message_size: warning: this client may send 34MiB, but upstream scans of route default takes 33MiB: larger messages on that way are refused",
    ]);
  });

  test.each([
    [
      "{ min_version: TLSv1 }",
      ".tls.min_version: warning: has no effect: none of the listeners of this client offers TLS, and tls.mode is not set",
    ],
    ["{ mode: opportunistic, min_version: TLSv1 }", undefined],
  ])("a client's TLS %s on a plain listener", (tls, warned) => {
    const found = said(minimalWith("[10.20.0.0/16] }", `[10.20.0.0/16], tls: ${tls} }`));

    expect(found.map((line) => line.replace(/^\S+ clients\.floor/, ""))).toEqual(warned === undefined ? [] : [warned]);
  });

  test("a default sender outside the organization is accepted with a warning", () => {
    expect(said(minimalWith("  postmaster:", "  default_sender: x@gmail.com\n  postmaster:"))).toEqual([
      "p.yaml:6:19 organization.default_sender: warning: gmail.com is not in organization.domains (contoso.com): add it there if it is a domain of the organization, else correct the address",
    ]);
  });

  test("a pattern is no address to send as", () => {
    expect(said(minimalWith("  postmaster:", '  default_sender: "*@contoso.com"\n  postmaster:'))).toEqual([
      'p.yaml:6:19 organization.default_sender: expected one address such as it@contoso.com, no pattern, not "*@contoso.com"',
    ]);
  });

  test("a fallback sender that the client may not use would refuse what it is there for", () => {
    const client = (keys: string) => said(minimalWith("[10.20.0.0/16] }", `[10.20.0.0/16], ${keys} }`));

    expect(client("fallback_sender: scans@nas.local")).toEqual([
      expect.stringMatching(/fallback_sender: warning: scans@nas\.local is not among the senders of this client \(internal\): .* refused/),
    ]);
    expect(client("fallback_sender: scans@gmail.com, senders: any")).toEqual([]);
    expect(client("fallback_sender: scans@contoso.com")).toEqual([]);
  });

  test("names in other scripts become A-labels", () => {
    const loaded = parseConfig(minimalWith("domains: [contoso.com]", "domains: [bücher.example, '*.Contoso.COM']"), "p.yaml", "/");

    expect(loaded.ok && loaded.config.organization.domains).toEqual(["xn--bcher-kva.example", "*.contoso.com"]);
  });
});

describe("YAML's own traps", () => {
  test.each([
    [
      "domains: [contoso.com]",
      "domains: [*@contoso.com]",
      '5:13 organization.domains[0]: a value that starts with * is an alias in YAML, and there is no such anchor: put it in quotes, as in "*@contoso.com"',
    ],
    [
      'listen: ":25"',
      "listen: [::]:25",
      '8:23 listeners.printers.listen: a value that starts with [ is a list in YAML: put it in quotes, as in "[::]:25"',
    ],
    ["  postmaster: it", "\tpostmaster: it", "6:1: tabs are not allowed as indentation: use spaces"],
    ["  domains:", "  tenant: x.example\n  domains:", "5:3 organization.tenant: this key is here twice"],
    ["it@contoso.com", "@contoso.com", "6:15 organization.postmaster: a value cannot start with @: put it in quotes"],
    [
      "it@contoso.com",
      "it@contoso.com: x",
      '6:15 organization.postmaster: unexpected ": " in a value, or wrong indentation: if it belongs to the value, put it in quotes',
    ],
    [
      "it@contoso.com",
      "!it",
      "6:15 organization.postmaster: a value that starts with ! is a tag in YAML, and tags are not used here: put it in quotes",
    ],
    ["routes:", "---\nroutes:", "19:1: the file must hold a single YAML document"],
    ["hostname:", "__proto__: { a: 1 }\nhostname:", "1:1: this name is not allowed as a key"],
  ])("%s written as %s gets one line with its place and the remedy", (piece, replacement, expected) => {
    expect(said(minimalWith(piece, replacement))).toContain(`p.yaml:${expected}`);
  });

  test("a port without quotes is read as what it is", () => {
    expect(said(minimalWith('":25"', ":25"))).toEqual([]);
  });

  test("an anchor and its alias are followed", () => {
    const text = minimalWith("[10.20.0.0/16] }", "&nets [10.20.0.0/16] }\n  twin: { networks: *nets }");

    expect(said(text)).toEqual([
      "p.yaml:10:29 clients.twin.networks[0]: 10.20.0.0/16 already belongs to client floor on listener printers",
    ]);
  });

  test("aliases that multiply stop at a bound", () => {
    const bomb = [
      "a0: &a0 [x, x, x, x, x, x, x, x, x, x]",
      ...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(", ")}]`),
    ].join("\n");

    const started = performance.now();
    const output = said(bomb);

    expect(output.some((line) => line.includes("too many values"))).toBe(true);
    expect(performance.now() - started).toBeLessThan(5000);
  });

  test("an alias inside its own anchor ends", () => {
    expect(said("hostname: &a [*a]\n").length).toBeGreaterThan(0);
  });
});

describe("single faults", () => {
  test.each([
    // Piece of the minimal example, replacement, the line that must be among those said.
    ["data_dir:", "data_dirr:", "2:1 data_dirr: unknown key; did you mean data_dir?"],
    ["data_dir: /var/lib/postern\n", "", "1:1 data_dir: missing; expected a path"],
    [
      "  postmaster: it@contoso.com\n",
      "",
      "3:1 organization.postmaster: missing; expected an address with a domain such as it@contoso.com",
    ],
    ["relay.contoso.com", "relay", '1:11 hostname: expected a full host name such as relay.contoso.com, not "relay"'],
    ["it@contoso.com", "it", '6:15 organization.postmaster: expected an address with a domain such as it@contoso.com, not "it"'],
    ["10.20.0.0/16", "10.20.0.5/16", '10:23 clients.floor.networks[0]: expected 10.20.0.0/16 (host bits are set), not "10.20.0.5/16"'],
    ["10.20.0.0/16", "10.20.0.0/33", '10:23 clients.floor.networks[0]: expected a prefix of at most /32, not "10.20.0.0/33"'],
    [
      "10.20.0.0/16",
      "010.20.0.0/16",
      '10:23 clients.floor.networks[0]: expected a network such as 10.20.0.0/16 or "fd00:20::/32", or a single address, not "010.20.0.0/16"',
    ],
    ["10.20.0.0/16", "10.20.0.0/16, 10.20.0.0/16", "10:37 clients.floor.networks[1]: 10.20.0.0/16 is listed twice"],
    [
      "10.20.0.0/16",
      "8.0.0.0/8",
      "10:23 clients.floor.networks[0]: 8.0.0.0/8 has public addresses and is wider than /24: everybody in it could send. If that is meant, add allow_public: true",
    ],
    [
      "[10.20.0.0/16]",
      "[10.20.0.0/16], listeners: printer",
      '10:49 clients.floor.listeners[0]: expected the name of a listener, not "printer"; did you mean printers?',
    ],
    ["[10.20.0.0/16]", "[]", "10:22 clients.floor.networks: expected at least one: with an empty list this client can never connect"],
    [
      "[10.20.0.0/16]",
      "[10.20.0.0/16], max_message_size: 35",
      "10:56 clients.floor.max_message_size: expected a size such as 64KiB, 35MiB or 2GiB, not 35",
    ],
    [
      "type: smtp-auth",
      "type: smtp-oauth",
      '13:11 upstreams.scans.type: expected one of: smtp-auth, direct-send, connector, graph, smart-host, not "smtp-oauth"; did you mean smtp-auth?',
    ],
    [
      "    type: smtp-auth\n",
      "",
      "12:3 upstreams.scans.type: missing; expected one of: smtp-auth, direct-send, connector, graph, smart-host",
    ],
    [
      "{ file: secrets/entra }",
      "Hunter~2~Canary",
      "18:15 upstreams.scans.credential.secret: expected a reference to the secret: { file: PATH }, { env: VARIABLE } or { credential: NAME }, never the secret itself",
    ],
    ["via: [scans]", "via: [scan]", '20:28 routes[0].via[0]: expected the name of an upstream, not "scan"; did you mean scans?'],
    ["via: [scans]", "via: [toString]", '20:28 routes[0].via[0]: expected the name of an upstream, not "toString"; known: scans'],
    ["via: [scans]", "via: [scans, scans]", "20:35 routes[0].via[1]: scans is listed twice"],
    ["via: [scans]", "via: []", "20:27 routes[0].via: expected at least one upstream"],
    [
      "via: [scans]",
      "via: [scans], spread: true",
      "20:44 routes[0].spread: expected more than one upstream in via: there is nothing to share with",
    ],
    [
      "via: [scans]",
      "match: { client: floor }, via: [scans]",
      "20:29 routes[0].match: expected no match on the last route: it takes everything that no other took",
    ],
    [
      "  tenant: contoso.onmicrosoft.com\n",
      "",
      "15:7 upstreams.scans.credential: missing tenant; expected organization.tenant, or a tenant in this credential",
    ],
    [
      '{ listen: ":25" }',
      '{ listen: [":25", "127.0.0.1:25"] }',
      '8:31 listeners.printers.listen[1]: "127.0.0.1:25" is taken by listeners.printers, which listens on ":25"',
    ],
    [
      '{ listen: ":25" }',
      '{ listen: ":25", tls: { certificate: a.pem } }',
      "8:50 listeners.printers.tls.certificate: expected a key with the certificate",
    ],
    [
      '{ listen: ":25" }',
      '{ listen: ":25", tls: { certificate: [a.pem, b.pem], key: a.key } }',
      "8:71 listeners.printers.tls.key: expected as many keys as there are certificates (2), in the same order",
    ],
    [
      '{ listen: ":25" }',
      '{ listen: ":25", tls: { pfx: a.pfx, certificate: a.pem, key: a.key } }',
      "8:42 listeners.printers.tls.pfx: expected either pfx, or certificate and key",
    ],
    [
      '{ listen: ":25" }',
      '{ listen: ":25", proxy_protocol: 8.0.0.0/8 }',
      "8:46 listeners.printers.proxy_protocol[0]: expected the addresses of balancers, not 8.0.0.0/8: whoever is in there could claim any address",
    ],
    [
      '{ listen: ":25" }',
      '{ listen: ":25", tls: { passphrase: { env: P } } }',
      "8:49 listeners.printers.tls.passphrase: expected a pfx with it: keys of their own are read without a passphrase",
    ],
    [
      '{ listen: ":25" }',
      '{ listen: ":25", sasl: required }',
      "8:30 listeners.printers.sasl: unknown key; known here: listen, tls, proxy_protocol, limits, auth, auth_without_tls, quirks",
    ],
    [
      "hostname:",
      'admin: { listen: "0.0.0.0:8025" }\nhostname:',
      '1:18 admin.listen: expected a loopback address such as "127.0.0.1:8025", not "0.0.0.0:8025", or admin.tls: { certificate: FILE, key: FILE } with it: tokens must not cross the network in clear text. For monitoring alone use metrics.listen',
    ],
    [
      "hostname:",
      'admin: { listen: "0.0.0.0:8025", tls: { certificate: relay.pem } }\nhostname:',
      "1:34 admin.tls.key: missing; expected a path",
    ],
    ["hostname:", "retry: { first: 10 mins }\nhostname:", '1:17 retry.first: expected a duration such as 30s, 5m, 4h or 2d, not "10 mins"'],
    ["hostname:", "retry: { first: 1h, max: 30m }\nhostname:", "1:26 retry.max: expected at least retry.first"],
    ["hostname:", "log: { level: loud }\nhostname:", '1:15 log.level: expected one of: debug, info, warn, error, not "loud"'],
    ["hostname:", "log:\nhostname:", "1:5 log: expected keys below it, not nothing"],
    ["hostname:", "bounces: { to: both, lang: en }\nhostname:", "1:22 bounces.lang: unknown key; known here: to, language"],
    [
      "floor:",
      "a b:",
      "10:3 clients: expected a name of letters, digits, - and _ that starts with a letter or a digit, at most 63 characters",
    ],
  ])("%s written as %s", (piece, replacement, expected) => {
    expect(said(minimalWith(piece, replacement))).toContain(`p.yaml:${expected}`);
  });
});

test("all faults of a file are shown at once, in the order of the file", () => {
  const text = `hostname: relay
data_dirr: /x
organization:
  domains: [contoso.com, *@contoso.com]
  postmaster: it
listeners:
  printers: { listen: [::]:25 }
clients:
  a: { networks: [10.0.0.5/8, 300.1.1.1], max_message_size: 35 }
upstreams:
  scans: { type: smtp-auth, mailbox: s@contoso.com, credential: { type: client-secret, client_id: x, secret: Hunter~2345 } }
  d: { type: smart-host, host: x, hostt: a }
routes:
  - { name: r, via: [graph] }
log: { level: x }
`;

  expect(said(text)).toEqual([
    "p.yaml:1:1 data_dir: missing; expected a path",
    'p.yaml:1:11 hostname: expected a full host name such as relay.contoso.com, not "relay"',
    "p.yaml:2:1 data_dirr: unknown key; did you mean data_dir?",
    'p.yaml:4:26 organization.domains[1]: a value that starts with * is an alias in YAML, and there is no such anchor: put it in quotes, as in "*@contoso.com"',
    'p.yaml:5:15 organization.postmaster: expected an address with a domain such as it@contoso.com, not "it"',
    'p.yaml:7:23 listeners.printers.listen: a value that starts with [ is a list in YAML: put it in quotes, as in "[::]:25"',
    'p.yaml:9:19 clients.a.networks[0]: expected 10.0.0.0/8 (host bits are set), not "10.0.0.5/8"',
    'p.yaml:9:31 clients.a.networks[1]: expected a network such as 10.20.0.0/16 or "fd00:20::/32", or a single address, not "300.1.1.1"',
    "p.yaml:9:61 clients.a.max_message_size: expected a size such as 64KiB, 35MiB or 2GiB, not 35",
    "p.yaml:11:110 upstreams.scans.credential.secret: expected a reference to the secret: { file: PATH }, { env: VARIABLE } or { credential: NAME }, never the secret itself",
    "p.yaml:12:35 upstreams.d.hostt: unknown key; did you mean host?",
    'p.yaml:14:22 routes[0].via[0]: expected the name of an upstream, not "graph"; known: scans, d',
    'p.yaml:15:15 log.level: expected one of: debug, info, warn, error, not "x"',
  ]);
});

describe("of a file whose structure is broken", () => {
  test.each([
    ["\tprinters:", "  printers:", ["8:1: tabs are not allowed as indentation: use spaces"]],
    [
      "\tdomains:",
      "  domains:",
      ["5:1: tabs are not allowed as indentation: use spaces", "6:1: wrong indentation, or a bracket is not closed"],
    ],
    [" postmaster:", "  postmaster:", ["6:1: wrong indentation, or a bracket is not closed"]],
    ["   mailbox:", "    mailbox:", ["14:1: wrong indentation, or a bracket is not closed"]],
    ["[contoso.com", "[contoso.com]", ["6:3: wrong indentation, or a bracket is not closed"]],
    ['"/var', "/var", ['2:28: a quote, bracket or comma is missing here; if the value holds one of , [ ] { } ", put it in quotes']],
  ])("that is all that is said: %j", (written, piece, expected) => {
    expect(said(minimalWith(piece, written))).toEqual(expected.map((line) => `p.yaml:${line}`));
  });

  test("the first lines say that, whatever else is wrong; what may only be a consequence is left out", () => {
    const text = minimalWith("relay.contoso.com", "relay").replace("  mailbox", "\tmailbox").replace("via: [scans]", "via: [graph]");

    expect(said(text)).toEqual([
      "p.yaml:14:3: tabs are not allowed as indentation: use spaces",
      'p.yaml:1:11 hostname: expected a full host name such as relay.contoso.com, not "relay"',
    ]);
  });

  test("a value that was taken for a key is not shown", () => {
    expect(said(minimalWith("it@contoso.com", "hunter2: [x"))[0]).not.toContain("hunter2");
    expect(said(minimalWith("{ file: secrets/entra }", "hunter2: canary: x")).join("\n")).not.toMatch(/hunter2|canary/);
  });
});

describe("secrets", () => {
  const CANARY = "Qz8~Canary~7Hf!x";

  test.each([
    `secret: ${CANARY}`,
    `secret: { fil: ${CANARY} }`,
    `secret: { literal: "${CANARY}" }`,
    `secret: [${CANARY}]`,
    `secret: { env: "${CANARY}" }`,
    `secret: { credential: "${CANARY}" }`,
    `secert: ${CANARY}`,
    `secret ${CANARY}: x`,
    `${CANARY}: x`,
    `secret: "${CANARY}`,
    `secret: !${CANARY}`,
    `secret: *${CANARY}`,
    `secret: @${CANARY}`,
    `client_secret: ${CANARY}`,
    `password: ${CANARY}`,
    `type: ${CANARY}`,
    `expires: ${CANARY}`,
    `secret: |\n        ${CANARY}`,
  ])("the value is never shown when it is written as %j", (written) => {
    const output = said(MINIMAL_EXAMPLE.replace("secret: { file: secrets/entra }", written)).join("\n");

    expect(output).not.toBe("");
    expect(output).not.toContain("Canary");
  });

  test.each([
    "url: https://hooks.example/Canary",
    "url: { file: x }, secret: Canary~key",
    "url: [https://hooks.example/Canary]",
    "url: { flie: https://hooks.example/Canary }",
    "https://hooks.example/Canary",
  ])("the address of a webhook is one: %s", (written) => {
    const output = said(`${MINIMAL_EXAMPLE}\nalerts: { webhook: { ${written} } }\n`).join("\n");

    expect(output).toContain("alerts.webhook");
    expect(output).not.toContain("Canary");
  });

  test.each([" https://hooks.example/Canary", ' "https://hooks.example/Canary"'])(
    "also where the whole webhook is written as%s",
    (written) => {
      expect(said(`${MINIMAL_EXAMPLE}\nalerts: { webhook:${written} }\n`).join("\n")).not.toContain("Canary");
    },
  );

  test.each([
    ["users: { sap: Canary-7Hf }", "users.sap: expected keys below it"],
    ["users: { sap: &s Canary-7Hf }\nlog: { level: *s }", "users.sap: expected keys below it"],
    ["users: { sap:Canary-7Hf }", "users.(withheld): expected keys below it, not nothing"],
    ["users:\n  sap:Canary-7Hf", "users: expected names with keys below them"],
    ["users: { sap: { canary_Canary } }", "users.sap: unknown key; known here: password_hash"],
    ["users: { sap: { anary: } }", "users.sap: unknown key; known here: password_hash"],
    ["network: http://relay:Canary-7Hf@proxy:3128", "network: expected keys below it"],
    ["alerts: Canary-7Hf", "alerts: expected keys below it"],
  ])("a value is not shown where the keys for a secret are missing around it: %s", (written, expected) => {
    const output = said(`${MINIMAL_EXAMPLE}\n${written}\n`).map((line) => line.replace(/^p\.yaml:\d+:\d+ /, ""));

    expect(output).toContain(expected);
    expect(output.join("\n")).not.toMatch(/Canary|anary:/);
  });

  test.each([
    ["scans: Canary-7Hf", "upstreams.scans: expected keys below it"],
    ["scans: connector", "upstreams.scans: expected keys below it"],
  ])("nor where it stands for a whole upstream: %s", (written, expected) => {
    const output = said(MINIMAL_EXAMPLE.replace(/ {2}scans:\n(?: {4}.*\n)+/, `  ${written}\n  graph: { type: x }\n`));

    expect(output.join("\n")).toContain(`${expected}\n`);
    expect(output.join("\n")).not.toContain("Canary");
    expect(output.join("\n")).toContain("expected one of: smtp-auth, direct-send, connector, graph, smart-host");
  });

  test.each([
    ["tls://relay:Can@ry-7Hf@siem.contoso.com", "tls:(withheld)@siem.contoso.com"],
    ["relay:Can@ry-7Hf@siem.contoso.com", "relay:(withheld)@siem.contoso.com"],
    ["https://siem.contoso.com/?sig=Can@ry-7Hf", "https:(withheld)@ry-7Hf"],
    ["https://siem.contoso.com/?sig=Canary-7Hf", "https://siem.contoso.com/?(withheld)"],
  ])("an address is shown without user, password and query: %s", (address, shown) => {
    const output = said(`${MINIMAL_EXAMPLE}\nalerts: { syslog: { address: "${address}" } }\n`);

    expect(output).toEqual([expect.stringContaining(`, not "${shown}"`)]);
  });

  test("a quote that nobody closed does not bring the lines after it to light", () => {
    const text = `${MINIMAL_EXAMPLE}\nlog: { level: "info\n  password: Canary-7Hf }\n`;

    expect(said(text).join("\n")).toContain("log.level: expected one of");
    expect(said(text).join("\n")).not.toContain("Canary");
  });

  test("the name of a systemd credential is none", () => {
    const text = minimalWith("{ file: secrets/entra }", "{ credential: entra-secret }").replace("[scans]", "[entra-secret]");

    expect(said(text)).toEqual([expect.stringContaining('routes[0].via[0]: expected the name of an upstream, not "entra-secret"')]);
    expect(said(text.replaceAll("entra-secret", "Hf8Q2canaryXkeoR4")).join()).not.toContain("canary");
  });

  test("a literal that another key repeats by an alias is not shown there either", () => {
    const text = MINIMAL_EXAMPLE.replace("secret: { file: secrets/entra }", `secret: &s ${CANARY}`).replace("[scans]", "[*s]");

    expect(said(text).join("\n")).not.toContain("Canary");
  });

  test("however the example is damaged, reading it neither throws nor shows a secret", async () => {
    const lined = (await readFile(EXAMPLE, "utf8"))
      .replaceAll(/\{ credential: (entra-secret|onprem-password) \}/g, `"${CANARY}"`)
      .split("\n");
    const damage = fc.record({
      line: fc.nat(lined.length - 1),
      column: fc.nat(80),
      how: fc.constantFrom("drop", "double", "indent", "outdent", "insert", "cut", "join", "tab"),
      text: fc.oneof(
        fc.constantFrom(":", " ", "*", "&", "[", "]", "{", "}", "'", '"', "|", ">", "#", "!", "%", "@", "- ", "? ", ": "),
        fc.string({ maxLength: 3 }),
      ),
    });

    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), (damages) => {
        const broken = [...lined];
        for (const { line, column, how, text } of damages) broken[line] = damaged(broken[line] ?? "", column, how, text);
        const output = said(broken.join("\n").replaceAll("\u0000\n", "")).join("\n");

        expect(output).not.toContain("Canary");
      }),
      { numRuns: 200 },
    );
  });
});

/** One line, damaged; a NUL at its end joins it with the next. */
function damaged(line: string, column: number, how: string, text: string): string {
  const at = Math.min(column, line.length);
  if (how === "drop") return "";
  if (how === "double") return `${line}\n${line}`;
  if (how === "indent") return `  ${line}`;
  if (how === "outdent") return line.replace(/^ {2}/, "");
  if (how === "insert") return line.slice(0, at) + text + line.slice(at);
  if (how === "cut") return line.slice(0, at) + line.slice(at + 1);
  if (how === "join") return `${line}\u0000`;
  return `\t${line}`;
}

describe("the file itself", () => {
  let folder: string | undefined;

  afterEach(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true });
    folder = undefined;
  });

  async function fileWith(content: string | Uint8Array): Promise<string> {
    folder = await mkdtemp(join(tmpdir(), "postern-config-"));
    const path = join(folder, "p.yaml");
    await writeFile(path, content);
    return path;
  }

  test("that does not exist is one line", async () => {
    expect(lines(await loadConfig("/nowhere/p.yaml"))).toEqual([
      "/nowhere/p.yaml:1:1: the file does not exist: postern setup writes one, --config FILE names another",
    ]);
  });

  test("that is larger than 1 MiB is refused unread", async () => {
    const path = await fileWith("#".repeat(2 ** 20 + 1));

    expect(lines(await loadConfig(path))).toEqual([`${path}:1:1: the file is larger than 1024 KiB`]);
  });

  test("that is not UTF-8 is refused", async () => {
    const path = await fileWith(Buffer.from([0x68, 0xff, 0xfe]));

    expect(lines(await loadConfig(path))).toEqual([`${path}:1:1: the file is not UTF-8 text`]);
  });

  test("that is empty lacks every required key", () => {
    expect(said("")).toEqual(["p.yaml:1:1: expected keys below it, not nothing"]);
  });
});
