/** `postern doctor` on a running relay with the stand-in as tenant: a sound one, and broken ones, each named with what repairs it. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { main } from "../../src/cli/program.ts";
import type { DoctorFinding } from "../../src/doctor/finding.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { DEFAULT_CLIENT_ID, DEFAULT_SECRET } from "../../src/simulator/tenant.ts";
import { freePort } from "../support/ports.ts";
import { printed } from "../support/printed.ts";
import { ANNA, SCANNER, startContoso, WRONG_SECRET, type Contoso, type ContosoOptions } from "./tenant.ts";

interface Examination {
  readonly code: number;
  readonly ok: boolean;
  readonly from: string;
  readonly findings: readonly DoctorFinding[];
}

async function doctor(contoso: Contoso, ...args: string[]): Promise<Examination> {
  const { code, out } = await printed(() => main(["doctor", "--json", ...args, "--config", `${contoso.folder}/postern.yaml`]));
  expect(out).not.toContain(DEFAULT_SECRET);
  expect(out).not.toContain("eyJ");
  return { code, ...(JSON.parse(out) as Omit<Examination, "code">) };
}

const faults = ({ findings }: Examination): string[] =>
  findings.filter(({ verdict }) => verdict === "fault").map(({ subject, id }) => `${subject} ${id}`);

/** A door of each kind, and DNS of the stand-in. */
const EVERY_DOOR: ContosoOptions = {
  graph: {},
  upstreams: (sim) => ({
    connector: {
      type: "connector",
      domain: "contoso.com",
      port: sim.ports.mx,
      ca: "stand-in/ca.pem",
      certificate: "connector.pem",
      key: "connector-key.pem",
    },
    inside: { type: "direct-send", domain: "contoso.com", port: sim.ports.mx, ca: "stand-in/ca.pem" },
  }),
  routes: [{ name: "default", via: ["scans", "graph", "connector", "inside"] }],
  more: (sim) => ({ network: { dns: { servers: [`127.0.0.1:${sim.ports.dns}`] } } }),
};

async function startEveryDoor(options: ContosoOptions = {}, days = 90): Promise<Contoso> {
  const contoso = await startContoso({ ...EVERY_DOOR, ...options });
  const { chainPem, keyPem } = await contoso.sim.issueClientCertificate({
    names: ["contoso.com"],
    notBefore: Date.now() - 100 * 86_400_000,
    notAfter: Date.now() + days * 86_400_000,
  });
  await writeFile(join(contoso.folder, "connector.pem"), chainPem);
  await writeFile(join(contoso.folder, "connector-key.pem"), keyPem, { mode: 0o600 });
  return contoso;
}

describe("a tenant that is as it should be, and what can break in it while the relay runs", () => {
  let contoso: Contoso;
  let sound: string;

  beforeAll(async () => {
    contoso = await startEveryDoor();
    sound = JSON.stringify(contoso.sim.tenant);
  });

  afterEach(() => {
    Object.assign(contoso.sim.tenant, JSON.parse(sound));
  });

  afterAll(async () => {
    await contoso.close();
  });

  test("all that can be proved is ok, what cannot is not tested, nothing is sent, exit code 0", async () => {
    const examination = await doctor(contoso);

    expect(faults(examination)).toEqual([]);
    expect(examination).toMatchObject({ code: 0, ok: true, from: "relay" });
    const verdicts = Object.fromEntries(examination.findings.map(({ subject, id, verdict }) => [`${subject} ${id}`, verdict]));
    expect(verdicts).toMatchObject({
      "machine clock": "ok",
      "machine disk": "ok",
      "scans port": "ok",
      "scans tls": "ok",
      "scans token": "ok",
      "scans permission": "ok",
      "scans auth": "ok",
      "scans send": "not-tested",
      "graph token": "ok",
      "graph permission": "ok",
      "graph send": "not-tested",
      "connector dns": "ok",
      "connector connector": "ok",
      "connector expiry": "ok",
      "inside direct-send": "ok",
      "inside mailbox": "ok",
      "contoso.com spf": "not-tested",
    });
    expect(contoso.sim.messages()).toEqual([]);
    await contoso.expectSound(true);
  });

  test.each<[string, (sim: Simulator) => void, string, RegExp]>([
    ["the secret has expired", ({ tenant }) => void (tenant.apps[0]!.secrets[0]!.expiresAt = Date.now() - 1), "scans token", /secret/i],
    [
      "no SMTP.SendAsApp",
      ({ tenant }) => void (tenant.apps[0]!.permissions = ["Mail.Send"]),
      "scans permission",
      /Office 365 Exchange Online > Application permissions > SMTP\.SendAsApp, then Grant admin consent.*one hour/,
    ],
    [
      "SMTP AUTH is off",
      ({ tenant }) => void (tenant.mailboxes[0]!.smtpAuth = false),
      "scans auth",
      /^Set-CASMailbox -Identity scanner@contoso\.com -SmtpClientAuthenticationDisabled \$false.*one hour/,
    ],
    [
      "the mailbox is missing",
      ({ tenant }) => void tenant.mailboxes.splice(0, 1),
      "scans auth",
      /^Check that the mailbox exists and has a licence: Get-EXOMailbox -Identity scanner@contoso\.com/,
    ],
    ["no connector matches", ({ tenant }) => void (tenant.connectors = []), "connector connector", /^Get-InboundConnector/],
    [
      "the MX is somebody else's",
      ({ tenant }) => void tenant.dns.records.push({ name: "contoso.com", type: "MX", data: "10 mail.example.net" }),
      "connector dns",
      /^Set host: on the upstream/,
    ],
    [
      "Direct Send is rejected",
      ({ tenant }) => void (tenant.rejectDirectSend = true),
      "inside direct-send",
      /New-InboundConnector -Name Postern .*-SenderIPAddresses 127\.0\.0\.1 .*30 minutes/,
    ],
    [
      "SPF is missing",
      ({ tenant }) => void tenant.dns.records.push({ name: "contoso.com", type: "TXT", data: "some-verification=1" }),
      "contoso.com spf",
      /^Add this TXT record at contoso\.com: v=spf1 .*include:spf\.protection\.outlook\.com -all/,
    ],
    [
      "SPF does not name Microsoft",
      ({ tenant }) => void tenant.dns.records.push({ name: "contoso.com", type: "TXT", data: "v=spf1 ip4:192.0.2.1 -all" }),
      "contoso.com spf",
      /include:spf\.protection\.outlook\.com/,
    ],
  ])("%s", async (_what, breakIt, named, remedy) => {
    breakIt(contoso.sim);

    const examination = await doctor(contoso);

    expect(examination.code).toBe(69);
    expect(faults(examination)[0]).toBe(named);
    expect(examination.findings[0]?.remedy).toMatch(remedy);
  });

  test("rights by RBAC for Applications, which no token shows: proved by the sign-in, a warning where nothing proves them", async () => {
    const [app] = contoso.sim.tenant.apps;
    app!.permissions = [];
    app!.roleAssignments = [{ role: "Application SMTP.SendAsApp", scope: [SCANNER] }];

    const examination = await doctor(contoso);

    expect(examination.code).toBe(0);
    const permissions = examination.findings.filter(({ id }) => id === "permission").map(({ subject, verdict }) => [subject, verdict]);
    expect(permissions).toEqual([
      ["scans", "ok"],
      ["graph", "warning"],
    ]);
  });

  test("a mailbox that the MX host does not know is named there as well", async () => {
    contoso.sim.tenant.mailboxes.splice(0, 1);

    const examination = await doctor(contoso);

    expect(faults(examination)).toContain("inside mailbox");
  });

  test("--send sends one by each upstream, and says what became of it", async () => {
    const examination = await doctor(contoso, "--send", ANNA);

    const mails = examination.findings.filter(({ id }) => id === "mail").map(({ subject, verdict }) => [subject, verdict]);
    expect(mails).toEqual(["scans", "graph", "connector", "inside"].map((name) => [name, "ok"]));
    expect(new Set(contoso.sim.messages().map(({ door }) => door))).toEqual(new Set(["submission", "graph", "connector", "direct-send"]));
    contoso.sim.reset();
  });

  test("for people: a line for each check, then what to do in order, and the sum", async () => {
    contoso.sim.tenant.rejectDirectSend = true;

    const { code, out } = await printed(() => main(["doctor", "--config", `${contoso.folder}/postern.yaml`]));

    expect(code).toBe(69);
    expect(out).toMatch(/^ok {9}scans auth: the sign-in was accepted$/m);
    expect(out).toMatch(
      /^FAULT {6}inside direct-send: mail inside the organization \(RCPT it@contoso\.com\): 550 5\.7\.68 TenantInboundAttribution/m,
    );
    expect(out).toMatch(/^not tested scans send: /m);
    expect(out).toMatch(/\nWhat to do\n1\. FAULT inside direct-send: New-InboundConnector/);
    expect(out).toMatch(/\n\d+ ok, \d+ warnings?, 1 fault, \d+ not tested\n$/);
  });
});

describe("a relay that is set up wrong", () => {
  let contoso: Contoso;

  afterEach(async () => {
    await contoso.close();
  });

  test("a secret that ends soon is told once, with the place of the new one", async () => {
    const expires = new Date(Date.now() + 10 * 86_400_000).toISOString().slice(0, 10);
    const credential = { type: "client-secret", client_id: DEFAULT_CLIENT_ID, secret: { file: "secret" }, expires };
    contoso = await startContoso({ graph: { credential } });

    const examination = await doctor(contoso);

    const told = examination.findings.filter(({ evidence }) => evidence.includes(expires));
    expect(told).toMatchObject([
      { id: "expiry", subject: "graph", verdict: "warning", remedy: expect.stringMatching(/\(file .*secret\)/) },
    ]);
  });

  test("the secret is wrong", async () => {
    contoso = await startEveryDoor({ secret: WRONG_SECRET });

    const examination = await doctor(contoso);

    expect(examination.code).toBe(69);
    expect(faults(examination).slice(0, 2)).toEqual(["scans token", "graph token"]);
    expect(examination.findings[0]?.evidence).toContain("AADSTS7000215");
    expect(examination.findings[0]?.remedy).toMatch(/secret/i);
    expect(JSON.stringify(examination)).not.toContain(WRONG_SECRET);
  });

  test("the connector's certificate has expired: the configuration says so, and so does the door", async () => {
    contoso = await startEveryDoor({}, -2);

    const examination = await doctor(contoso);

    expect(examination.code).toBe(78);
    expect(faults(examination)).toEqual(["connector certificate", "connector configuration"]);
    expect(examination.findings[0]?.remedy).toMatch(/^Put a new certificate and key/);
  });

  test("the port is blocked", async () => {
    const port = await freePort();
    contoso = await startContoso({ upstreams: () => ({ scans: { port } }) });

    const examination = await doctor(contoso);

    expect(examination.code).toBe(69);
    expect(faults(examination)).toEqual(["scans port"]);
    expect(examination.findings[0]?.remedy).toContain(`Let this machine connect to TCP ${port} of 127.0.0.1: look at the firewall`);
    // The token was looked at all the same.
    expect(examination.findings.find(({ id }) => id === "token")?.verdict).toBe("ok");
  });

  test("the clock is off", async () => {
    contoso = await startContoso();
    contoso.clock.advance(11 * 60_000);

    const examination = await doctor(contoso);

    expect(examination.code).toBe(69);
    expect(faults(examination)[0]).toBe("machine clock");
    expect(examination.findings[0]?.evidence).toMatch(/clock is 6\d\d s ahead of/);
    expect(examination.findings[0]?.remedy).toMatch(/^Set the clock and keep it right: timedatectl/);
  });

  test("without the relay it looks from where it is, and says so; --send is not tested then", async () => {
    contoso = await startContoso();
    await contoso.relay().stop();

    const examination = await doctor(contoso, "--send", SCANNER);

    expect(examination).toMatchObject({ code: 0, from: "command" });
    expect(examination.findings.find(({ id }) => id === "auth")?.verdict).toBe("ok");
    expect(examination.findings.find(({ id }) => id === "mail")?.verdict).toBe("not-tested");
  });
});
