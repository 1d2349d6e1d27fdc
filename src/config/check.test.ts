import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { makeTestAuthority } from "../../test/fakes/test-ca.ts";
import { checkConfig } from "./check.ts";
import { distinct, formatFinding } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { parseConfig } from "./load.ts";
import { MINIMAL_EXAMPLE } from "./reference.ts";

const CANARY = "Qz8~Canary~7Hf!x";
const DAY_MS = 86_400_000;

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-check-"));
  await mkdir(join(folder, "data"));
  await writeFile(join(folder, "secret"), `${CANARY}\n`, { mode: 0o600 });
  await writeFile(join(folder, "empty"), "\n", { mode: 0o600 });
  await writeFile(join(folder, "open"), CANARY);
  await chmod(join(folder, "open"), 0o644);
  await Promise.all([
    selfSigned("relay", "RSA"),
    selfSigned("other", "RSA"),
    selfSigned("elliptic", "EC"),
    selfSigned("locked", "RSA", CANARY),
    selfSigned("short", "RSA-1024"),
  ]);
});

afterAll(() => rm(folder, { recursive: true }));

/** A certificate for relay.contoso.com that ends in 90 days. */
async function selfSigned(name: string, type: "RSA" | "RSA-1024" | "EC", passphrase?: string): Promise<void> {
  const key =
    type !== "EC" ? ["-newkey", type === "RSA" ? "rsa:2048" : "rsa:1024"] : ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  const lock = passphrase === undefined ? ["-noenc"] : ["-passout", `pass:${passphrase}`];
  const file = (ending: string) => join(folder, `${name}.${ending}`);
  const subject = ["-subj", "/CN=relay.contoso.com", "-addext", "subjectAltName=DNS:relay.contoso.com", "-days", "90"];
  await promisify(execFile)("openssl", ["req", "-x509", ...key, ...lock, "-keyout", file("key"), "-out", file("pem"), ...subject]);
}

interface Setting {
  readonly secret?: string;
  readonly credential?: string;
  /** Keys of a connector that takes the mailbox's place. */
  readonly connector?: string;
  readonly host?: string;
  readonly tls?: string;
  readonly more?: string;
  readonly dataDir?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly now?: number;
}

/** What is found about the minimal example with some settings replaced. */
async function found({
  secret = "{ file: secret }",
  credential,
  connector,
  host,
  tls,
  more = "",
  dataDir = "data",
  env = {},
  now = Date.now(),
}: Setting): Promise<Finding[]> {
  let text = MINIMAL_EXAMPLE.replace("/var/lib/postern", dataDir).replace("{ file: secrets/entra }", secret);
  if (credential !== undefined) text = text.replace(/ {4}credential:\n(?: {6}.*\n)+/, `    credential: ${credential}\n`);
  if (connector !== undefined) text = text.replace(/ {2}scans:\n(?: {4}.*\n)+/, `  scans: { type: connector, ${connector} }\n`);
  if (host !== undefined) text = text.replace("    type: smtp-auth\n", `    type: smtp-auth\n    host: ${host}\n`);
  if (tls !== undefined) text = text.replace('":25" }', `":25", tls: ${tls} }`);
  const loaded = parseConfig(text + more, "p.yaml", folder);
  if (!loaded.ok) throw new Error(loaded.faults.map(formatFinding).join("\n"));
  const findings = await checkConfig(loaded.config, loaded.source, { env, now });
  expect(JSON.stringify(findings)).not.toContain("Canary");
  return findings;
}

async function brief(setting: Setting): Promise<string[]> {
  return (await found(setting)).map((finding) => `${finding.severity} ${formatFinding(finding)}`.replaceAll(`${folder}/`, ""));
}

test("a file whose secrets, folders and certificates are right has no findings", async () => {
  expect(await brief({ tls: "{ certificate: relay.pem, key: relay.key }" })).toEqual([]);
});

describe("a secret", () => {
  test.each([
    ["{ file: nowhere }", "door p.yaml:18:15 upstreams.scans.credential.secret: file nowhere does not exist"],
    ["{ file: empty }", "door p.yaml:18:15 upstreams.scans.credential.secret: file empty is empty"],
    ["{ file: data }", "door p.yaml:18:15 upstreams.scans.credential.secret: file data is a folder"],
    [
      "{ file: open }",
      "warning p.yaml:18:15 upstreams.scans.credential.secret: warning: file open can be read by every user of this machine",
    ],
    ["{ env: NOWHERE }", "door p.yaml:18:15 upstreams.scans.credential.secret: environment variable NOWHERE is not set"],
    [
      "{ credential: entra-secret }",
      "warning p.yaml:18:15 upstreams.scans.credential.secret: warning: systemd credential entra-secret is not checkable here: systemd passes it to the service only",
    ],
    [
      "{ credential: entra }",
      "warning p.yaml:18:15 upstreams.scans.credential.secret: warning: systemd credential entra is not checkable here: systemd passes it to the service only",
    ],
  ])("given as %s is reported at its key", async (secret, expected) => {
    expect(await brief({ secret })).toEqual([expected]);
  });

  test("names the door that cannot work without it", async () => {
    expect((await found({ secret: "{ file: nowhere }" })).map((finding) => finding.upstream)).toEqual(["scans"]);
  });

  test("is found in the environment and among systemd's credentials", async () => {
    expect(await brief({ secret: "{ env: ENTRA }", env: { ENTRA: CANARY } })).toEqual([]);
    expect(await brief({ secret: "{ credential: secret }", env: { CREDENTIALS_DIRECTORY: folder } })).toEqual([]);
  });

  test("is valid through the day it expires, with a warning from 30 days before", async () => {
    const credential = "{ type: client-secret, client_id: x, secret: { file: secret }, expires: 2027-03-01 }";
    const at = "p.yaml:15:89 upstreams.scans.credential.expires: warning: the secret";

    expect(await brief({ credential, now: Date.parse("2027-01-29T23:00:00Z") })).toEqual([]);
    expect(await brief({ credential, now: Date.parse("2027-03-01T12:00:00Z") })).toEqual([`warning ${at} expires on 2027-03-01: renew it`]);
    expect(await brief({ credential, now: Date.parse("2027-03-02T00:00:01Z") })).toEqual([`warning ${at} expired on 2027-03-01: renew it`]);
  });
});

describe("the admin listener beyond this machine", () => {
  const ADMIN = 'admin: { listen: "0.0.0.0:8025", tls: { certificate: relay.pem, key: relay.key } }\n';
  const at = "p.yaml:21:18 admin.listen:";
  let count = 0;

  /** What is found where the file of tokens holds this. */
  async function withTokens(content: string | undefined, now?: number): Promise<string[]> {
    const dataDir = `data-${(count += 1)}`;
    await mkdir(join(folder, dataDir, "deliver"), { recursive: true });
    if (content !== undefined) await writeFile(join(folder, dataDir, "deliver", "tokens.json"), content);
    return await brief({ more: ADMIN, dataDir, ...(now === undefined ? {} : { now }) });
  }

  const tokens = (...list: readonly object[]): string =>
    JSON.stringify({
      version: 1,
      tokens: list.map((more) => Object.assign({ name: "x", role: "viewer", hash: "0".repeat(64), createdAt: 1, createdBy: "kim" }, more)),
    });

  test("needs a token first, and says what to type", async () => {
    expect(await withTokens(undefined)).toEqual([
      `listener ${at} other machines reach "0.0.0.0:8025", and nobody has a token yet: type postern token add NAME --role viewer|operator|administrator first (it works before the start), or listen on a loopback address`,
    ]);
  });

  test("is right with one", async () => {
    expect(await withTokens(tokens({}))).toEqual([]);
    expect(await withTokens(tokens({ expiresAt: Date.now() - 1 }, {}))).toEqual([]);
  });

  test("starts all the same when the last token is gone or over, for the mail's sake, with a warning", async () => {
    const warning = `warning ${at} warning: no token is valid, so that nobody can use the API: postern token add NAME --role viewer|operator|administrator`;

    expect(await withTokens(tokens())).toEqual([warning]);
    expect(await withTokens(tokens({ expiresAt: Date.now() - 1 }))).toEqual([warning]);
  });

  test("starts with a file of tokens that is damaged, which opens nothing", async () => {
    expect(await withTokens("{")).toEqual([
      expect.stringMatching(
        /^warning p\.yaml:21:18 admin\.listen: warning: whether somebody has a token cannot be seen: .*tokens\.json is damaged/,
      ),
    ]);
  });

  test("shows a certificate that fits its key, wherever it listens", async () => {
    const more = "admin: { tls: { certificate: relay.pem, key: other.key } }\n";

    expect(await brief({ more })).toEqual([
      "listener p.yaml:21:46 admin.tls.key: the key in other.key does not fit the certificate in relay.pem",
    ]);
    expect(await brief({ more: more.replace("relay.pem", "nowhere") })).toEqual([
      "listener p.yaml:21:30 admin.tls.certificate: nowhere does not exist",
    ]);
  });
});

describe("a listener's certificate", () => {
  test.each([
    ["{ certificate: nowhere, key: relay.key }", "listener p.yaml:8:50 listeners.printers.tls.certificate: nowhere does not exist"],
    ["{ certificate: relay.pem, key: nowhere }", "listener p.yaml:8:66 listeners.printers.tls.key: nowhere does not exist"],
    [
      "{ certificate: relay.key, key: relay.key }",
      "listener p.yaml:8:50 listeners.printers.tls.certificate: relay.key holds no certificate in PEM form",
    ],
    [
      "{ certificate: relay.pem, key: relay.pem }",
      "listener p.yaml:8:66 listeners.printers.tls.key: relay.pem holds no private key in PEM form",
    ],
    [
      "{ certificate: relay.pem, key: other.key }",
      "listener p.yaml:8:66 listeners.printers.tls.key: the key in other.key does not fit the certificate in relay.pem",
    ],
    [
      "{ certificate: short.pem, key: short.key }",
      "listener p.yaml:8:50 listeners.printers.tls.certificate: short.pem: OpenSSL does not take the certificate: ee key too small",
    ],
    ["{ certificate: locked.pem, key: locked.key }", "listener p.yaml:8:67 listeners.printers.tls.key: locked.key needs a passphrase"],
  ])("%s forbids the start", async (tls, expected) => {
    expect(await brief({ tls })).toEqual([expected]);
  });

  test("with an ECDSA key alone is a warning, beside an RSA one it is not", async () => {
    const alone = await brief({ tls: "{ certificate: elliptic.pem, key: elliptic.key }" });

    expect(alone).toEqual([
      expect.stringMatching(/^warning p\.yaml:8:50 listeners\.printers\.tls\.certificate: warning: the certificate has an ECDSA key: /),
    ]);
    expect(await brief({ tls: "{ certificate: [elliptic.pem, relay.pem], key: [elliptic.key, relay.key] }" })).toEqual([]);
    expect(await brief({ tls: "{ certificate: [relay.pem, elliptic.pem], key: [relay.key, relay.key] }" })).toEqual([
      expect.stringMatching(
        /^listener p\.yaml:8:\d+ listeners\.printers\.tls\.key\[1\]: the key in relay\.key does not fit the certificate in elliptic\.pem$/,
      ),
    ]);
  });

  test("in a PKCS #12 file is opened with its passphrase, and what is wrong is said without it", async () => {
    const inputs = ["-in", join(folder, "relay.pem"), "-inkey", join(folder, "relay.key")];
    await promisify(execFile)("openssl", ["pkcs12", "-export", ...inputs, "-passout", `pass:${CANARY}`, "-out", join(folder, "relay.pfx")]);

    expect(await brief({ tls: "{ pfx: relay.pfx, passphrase: { env: P } }", env: { P: CANARY } })).toEqual([]);
    expect(await brief({ tls: "{ pfx: relay.pfx, passphrase: { env: P } }", env: { P: "wrong" } })).toEqual([
      "listener p.yaml:8:42 listeners.printers.tls.pfx: relay.pfx: the PKCS #12 file cannot be opened with this passphrase",
    ]);
    expect(await brief({ tls: "{ pfx: relay.pem }" })).toEqual([
      "listener p.yaml:8:42 listeners.printers.tls.pfx: relay.pem: this is no PKCS #12 file",
    ]);
  });

  test("that has expired, or is about to, is served with a warning", async () => {
    const tls = "{ certificate: relay.pem, key: relay.key }";

    const near = await found({ tls, now: Date.now() + 70 * DAY_MS });
    const past = await found({ tls, now: Date.now() + 91 * DAY_MS });

    expect(near).toEqual([
      expect.objectContaining({
        severity: "warning",
        message: expect.stringMatching(/^the certificate expires on \d{4}-\d\d-\d\d: renew it$/),
      }),
    ]);
    expect(past).toEqual([
      expect.objectContaining({
        severity: "warning",
        message: expect.stringMatching(/^the certificate expired on \d{4}-\d\d-\d\d: renew it$/),
      }),
    ]);
  });
});

describe("a private key that everybody may read is warned of", () => {
  const open = async (...names: readonly string[]): Promise<void> => {
    for (const name of names) await chmod(join(folder, name), 0o644);
  };
  afterEach(async () => {
    for (const name of ["relay.key", "locked.key"]) await chmod(join(folder, name), 0o600);
  });

  test.each<[string, Setting]>([
    ["upstreams.scans.key", { connector: "certificate: relay.pem, key: relay.key" }],
    [
      "upstreams.scans.credential.key",
      { credential: "{ type: client-certificate, client_id: x, certificate: relay.pem, key: relay.key }" },
    ],
    ["listeners.printers.tls.key", { tls: "{ certificate: relay.pem, key: relay.key }" }],
    ["admin.tls.key", { more: "admin: { tls: { certificate: relay.pem, key: relay.key } }\n" }],
  ])("%s", async (key, setting) => {
    await open("relay.key");

    const warned = (await brief(setting)).filter((line) => line.includes(` ${key}: `));

    expect(warned).toEqual([expect.stringMatching(/^warning .*: warning: relay\.key can be read by every user of this machine$/)]);
  });

  test("a locked one too: a passphrase can be guessed", async () => {
    await open("locked.key");

    const warned = await brief({ connector: "certificate: locked.pem, key: locked.key, passphrase: { file: secret }" });

    expect(warned).toContainEqual(expect.stringMatching(/\.key: warning: locked\.key can be read by every user of this machine$/));
  });
});

describe("a client certificate", () => {
  const credential = (certificate: string, key: string, more = "") =>
    `{ type: client-certificate, client_id: x, certificate: ${certificate}, key: ${key}${more} }`;

  test("that fits its key, also a locked one, is right", async () => {
    expect(await brief({ credential: credential("relay.pem", "relay.key") })).toEqual([]);
    expect(await brief({ credential: credential("locked.pem", "locked.key", ", passphrase: { file: secret }") })).toEqual([]);
  });

  test("that does not fit closes the door only", async () => {
    expect(await brief({ credential: credential("relay.pem", "other.key") })).toEqual([
      "door p.yaml:15:88 upstreams.scans.credential.key: the key in other.key does not fit the certificate in relay.pem",
    ]);
  });

  test("with the wrong passphrase closes the door", async () => {
    expect(await brief({ credential: credential("locked.pem", "locked.key", ", passphrase: { env: P }"), env: { P: "wrong" } })).toEqual([
      "door p.yaml:15:89 upstreams.scans.credential.key: locked.key cannot be opened with this passphrase",
    ]);
  });

  test("without RSA is refused, since Microsoft takes no other", async () => {
    expect(await brief({ credential: credential("elliptic.pem", "elliptic.key") })).toEqual([
      "door p.yaml:15:72 upstreams.scans.credential.certificate: expected an RSA certificate: Microsoft Entra ID takes no other",
    ]);
  });
});

describe("a connector's certificate", () => {
  const root = makeTestAuthority("A public root");
  const intermediate = root.intermediate("A public intermediate");
  const quarter = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + 90 * DAY_MS) };
  const { cert, key } = intermediate.issue(["relay.contoso.com"], quarter);
  const lacking = "Exchange Online finds no connector then, and answers 550 5.7.64 TenantAttribution; Relay Access Denied";

  async function said(pem: string, setting: Setting = {}, keyPem = key): Promise<string[]> {
    await writeFile(join(folder, "chain.pem"), pem);
    await writeFile(join(folder, "chain.key"), keyPem, { mode: 0o600 });
    const lines = await brief({ connector: "certificate: chain.pem, key: chain.key", ...setting });
    return lines.map((line) => line.replace(/ p\.yaml:\d+:\d+ upstreams\.scans/, ""));
  }

  test("with its whole chain is right, in whatever order it follows", async () => {
    const deeper = intermediate.intermediate("A deeper one");
    const leaf = deeper.issue(["relay.contoso.com"], quarter);

    expect(await said(cert + intermediate.ca + root.ca)).toEqual([]);
    expect(await said(leaf.cert + root.ca + intermediate.ca + deeper.ca, {}, leaf.key)).toEqual([]);
  });

  test("without its intermediate is warned of", async () => {
    expect(await said(cert)).toEqual([
      `warning.certificate: warning: the certificate of its issuer, A public intermediate, is not in the file: ${lacking}`,
    ]);
    expect(await said(cert + root.ca)).toHaveLength(1);
  });

  test("from an authority that the upstream is told to trust is right: the other side is a stand-in", async () => {
    await writeFile(join(folder, "private-root.pem"), root.ca);

    expect(await said(cert + intermediate.ca, { more: "network: { ca: private-root.pem }" })).toEqual([]);
  });

  test("that is self-made is warned of", async () => {
    expect(await brief({ connector: "certificate: relay.pem, key: relay.key" })).toEqual([
      expect.stringContaining("it is self-made, and Microsoft takes those of public authorities only"),
    ]);
  });

  test("that has expired closes the door", async () => {
    const [expired] = await said(cert + intermediate.ca + root.ca, { now: Date.now() + 91 * DAY_MS });

    expect(expired).toMatch(/^door\.certificate: the certificate expired on \d{4}-\d\d-\d\d: renew it$/);
  });

  test("whose key is too short for TLS closes the door", async () => {
    expect(await brief({ connector: "certificate: short.pem, key: short.key" })).toEqual([
      expect.stringMatching(/^door .*\.certificate: short\.pem: OpenSSL does not take the certificate: ee key too small$/),
    ]);
  });

  test("whose key is another's closes the door", async () => {
    expect(await brief({ connector: "certificate: relay.pem, key: other.key" })).toEqual([
      expect.stringMatching(/^door .*\.key: the key in other\.key does not fit the certificate in relay\.pem$/),
    ]);
  });
});

test("a password's file that is missing closes the door, and is all that is said of it", async () => {
  const credential = "{ type: password, username: relay, password: { file: nowhere } }";

  expect(await brief({ credential, host: "smtp.example.net" })).toEqual([
    expect.stringMatching(/^door .* upstreams\.scans\.credential\.password: file nowhere does not exist$/),
  ]);
});

test("a device code that nobody has used yet is told of, with the command to use it", async () => {
  const credential = "{ type: device-code, client_id: app }";
  const before = await brief({ credential });
  await mkdir(join(folder, "data", "deliver"));
  await writeFile(join(folder, "data", "deliver", "scans.sign-in"), "");

  expect(before).toEqual([
    expect.stringContaining("nobody has signed in yet: mail waits until somebody does, with postern auth login scans"),
  ]);
  expect(await brief({ credential })).toEqual([]);
});

test("a file of authorities that is missing or holds none closes the doors that use it", async () => {
  expect(await brief({ more: "network: { ca: [relay.pem, nowhere, relay.key] }\n" })).toEqual([
    "door p.yaml:21:28 network.ca[1]: nowhere does not exist",
    "door p.yaml:21:37 network.ca[2]: relay.key holds no certificate in PEM form",
  ]);
});

test("authorities of an upstream's own network are told of at their key, those of all upstreams in one line", async () => {
  const more = "network: { ca: nowhere }\n";
  const connector = "host: 127.0.0.1, network: { ca: here-neither }";

  expect(await brief({ connector })).toEqual([expect.stringMatching(/ upstreams\.scans\.network\.ca\[0\]: here-neither does not exist$/)]);
  expect(distinct([...(await found({ more })), ...(await found({ more }))]).map(({ key }) => key)).toEqual(["network.ca[0]"]);
});

test("a data_dir that is a file is an error; one that is yet to be made is none", async () => {
  expect(await brief({ dataDir: "secret" })).toEqual([`error p.yaml:2:11 data_dir: secret is not a folder`]);
  expect(await brief({ dataDir: "data/new/deeper" })).toEqual([]);
});

test("everything that is wrong is found in one go, in the order of the file", async () => {
  const severities = (await found({ dataDir: "secret", tls: "{ certificate: nowhere, key: nowhere }", secret: "{ file: nowhere }" })).map(
    ({ line, severity }) => [line, severity],
  );

  expect(severities).toEqual([
    [2, "error"],
    [8, "listener"],
    [8, "listener"],
    [18, "door"],
  ]);
});

test("a socket of syslog that is not there is warned of", async () => {
  await writeFile(join(folder, "no-socket"), "");
  const syslog = async (address: string): Promise<string[]> =>
    (await brief({ more: `alerts: { syslog: { address: "${address}" } }\n` })).map((line) => line.replace(/p\.yaml:21:\d+ /, ""));

  expect(await syslog("udp://192.0.2.5")).toEqual([]);
  const at = "warning alerts.syslog.address: warning:";
  expect(await syslog("unix:/nowhere/log")).toEqual([`${at} /nowhere/log does not exist: no alert is sent`]);
  expect(await syslog(`unix:${folder}/no-socket`)).toEqual([`${at} no-socket is not a socket: no alert is sent`]);
});

test("a webhook whose files are missing or hold no usable address is warned of, and the address is never shown", async () => {
  await writeFile(join(folder, "url-wrong"), "http://hooks.example/canary\n", { mode: 0o600 });
  await writeFile(join(folder, "url-right"), "https://hooks.example/canary\n", { mode: 0o600 });
  const webhook = (text: string): Promise<string[]> => brief({ more: `alerts: { webhook: ${text} }\n` });

  expect(await webhook("{ url: { file: url-right } }")).toEqual([]);
  expect(await webhook("{ url: { file: url-wrong } }")).toEqual([
    expect.stringMatching(
      /^warning p\.yaml:21:\d+ alerts\.webhook\.url: warning: expected https:\/\/… or http:\/\/ to this machine in file url-wrong/,
    ),
  ]);
  const missing = await webhook("{ url: { file: nowhere }, secret: { file: nowhere-either } }");
  expect(missing.map((line) => line.replace(/^(\w+) p\.yaml:21:\d+ /, "$1 "))).toEqual([
    "warning alerts.webhook.url: warning: file nowhere does not exist",
    "warning alerts.webhook.secret: warning: file nowhere-either does not exist",
  ]);
  expect([...missing, ...(await webhook("{ url: { file: url-wrong } }"))].join()).not.toContain("canary");
});
