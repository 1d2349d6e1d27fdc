import { describe, expect, test } from "vitest";
import type { UpstreamConfig } from "../config/config.ts";
import { FAULTS } from "../deliver/faults.ts";
import type { JudgeContext } from "../deliver/judge.ts";
import type { Diagnosis, Refusal, Stage } from "../upstream/upstream.ts";
import { doorFindings, type AskedRecipient, type DoorSubject } from "./door.ts";
import type { DoctorFinding } from "./finding.ts";

const NOW = Date.UTC(2026, 0, 5, 9);
const CONNECTED: readonly Stage[] = ["connect", "greeting", "ehlo", "starttls"];
const CERTIFICATE = { names: "DNS:*.mail.protection.outlook.com", issuer: "CN=Some CA", endsAt: NOW + 86_400_000, verified: true };

const INSIDE = {
  type: "direct-send",
  domain: "contoso.com",
  host: undefined,
  port: 25,
  mx_suffixes: ["mail.protection.outlook.com", "mx.microsoft"],
  tls: "required",
} as unknown as UpstreamConfig;
const HOST = { type: "smart-host", host: "mail.contoso.com", port: 587, tls: "opportunistic" } as unknown as UpstreamConfig;

function subject(config: UpstreamConfig, asked: readonly AskedRecipient[] = []): DoorSubject {
  const judging: JudgeContext = {
    upstream: "door",
    type: config.type,
    microsoft: config.type !== "smart-host",
    mailbox: undefined,
    sender: "scanner@contoso.com",
    isInternal: (address) => address.endsWith("@contoso.com"),
  };
  return { name: "door", config, judging, now: NOW, asked };
}

function found(part: Partial<Diagnosis> = {}, refusal?: Refusal): Diagnosis {
  const stages = CONNECTED.slice(0, refusal === undefined ? CONNECTED.length : CONNECTED.indexOf(refusal.stage)).map((stage) => ({
    stage,
  }));
  return {
    stages: refusal === undefined ? stages : [...stages, { stage: refusal.stage, refusal }],
    places: ["contoso-com.mail.protection.outlook.com:25 [203.0.113.25]"],
    recipients: [],
    ...part,
  };
}

const fault = (stage: Stage, code: string): Refusal => ({ stage, fault: { code, detail: "as it happened" } });
const faults = (findings: readonly DoctorFinding[]): DoctorFinding[] => findings.filter(({ verdict }) => verdict === "fault");

describe("name, port, TLS", () => {
  test.each(["ECONNREFUSED", "TIMEOUT", "ENETUNREACH", "ABORTED"])("%s: the port, and who may have blocked it", (code) => {
    const [finding, ...others] = faults(doorFindings(subject(INSIDE), found({}, fault("connect", code))));

    expect(finding).toMatchObject({ id: "port", evidence: expect.stringContaining("203.0.113.25") });
    expect(finding?.remedy).toContain(
      "Let this machine connect to TCP 25 of the MX of contoso.com (*.mail.protection.outlook.com, *.mx.microsoft)",
    );
    expect(finding?.remedy).toContain("Many Internet providers and clouds block port 25");
    expect(others).toEqual([]);
  });

  test("a proxy that lets nothing through: the port, and the proxy is what to look at", () => {
    const graph = {
      type: "graph",
      mailbox: "scanner@contoso.com",
      graph_host: "https://graph.microsoft.com",
      credential: { type: "client-secret" },
    } as unknown as UpstreamConfig;
    const findings = doorFindings(subject(graph), found({}, fault("connect", "PROXY")));

    expect(faults(findings)).toMatchObject([{ id: "port", verdict: "fault", remedy: expect.stringContaining("network.proxy") }]);
  });

  test.each([
    ["unreachable", "port"],
    ["timed-out", "port"],
    ["reset", "port"],
    ["name-unknown", "dns"],
  ])("every code of the network that the relay takes for %s is a matter of the %s here too", (row, id) => {
    for (const code of FAULTS.find((known) => known.id === row)?.codes ?? []) {
      const [finding] = faults(doorFindings(subject(HOST), found({}, fault("connect", code))));

      expect([code, finding?.id]).toEqual([code, id]);
    }
  });

  test.each(["MX_NONE", "MX_FOREIGN", "DNS_TEMPORARY"])("%s: DNS, and nothing is said of the port", (code) => {
    const findings = doorFindings(subject(INSIDE), found({ places: [] }, fault("connect", code)));

    expect(findings).toMatchObject([{ id: "dns", verdict: "fault", remedy: expect.any(String) }]);
  });

  test.each(["NO_STARTTLS", "CERTIFICATE", "TLS"])("%s at STARTTLS: TLS, while the port is well", (code) => {
    const findings = doorFindings(subject(INSIDE), found({}, fault("starttls", code)));

    expect(findings.map(({ id, verdict }) => `${id} ${verdict}`)).toEqual(["dns ok", "port ok", "tls fault"]);
    expect(findings[2]?.remedy).not.toBe("");
  });

  test.each(["TIMEOUT", "ABORTED"])("%s at the greeting: how to see what swallows it", (code) => {
    const [finding] = faults(doorFindings(subject(HOST), found({}, fault("greeting", code))));

    expect(finding).toMatchObject({ id: "tls", remedy: expect.stringContaining("curl -v telnet://") });
  });

  test("a smart host that offers no AUTH is no matter of an hour", () => {
    const stages = [...CONNECTED.map((stage) => ({ stage })), { stage: "auth", refusal: fault("auth", "NO_AUTH_OFFERED") } as const];

    const [finding] = faults(doorFindings(subject(HOST), found({ stages })));

    expect(finding).toMatchObject({ id: "auth", remedy: expect.stringMatching(/remove credential from the upstream$/) });
  });

  test("TLS that nobody verifies, and none at all, are warnings; as configured it is well", () => {
    const tlsOf = (config: UpstreamConfig, part: Partial<Diagnosis>) =>
      doorFindings(subject(config), found(part)).find(({ id }) => id === "tls");

    expect(tlsOf(INSIDE, { tls: "TLSv1.3", certificate: CERTIFICATE })?.verdict).toBe("ok");
    expect(tlsOf(HOST, { tls: "TLSv1.3", certificate: { ...CERTIFICATE, verified: false } })?.verdict).toBe("warning");
    expect(tlsOf(HOST, {})?.verdict).toBe("warning");
    expect(tlsOf({ ...HOST, tls: "none" } as UpstreamConfig, {})?.verdict).toBe("ok");
  });
});

describe("recipients", () => {
  const asked: AskedRecipient[] = [
    { address: "it@contoso.com", purpose: "inside" },
    { address: "scanner@contoso.com", purpose: "mailbox" },
  ];
  const unknown: Refusal = {
    stage: "rcpt",
    reply: {
      code: 550,
      enhanced: "5.4.1",
      text: "Recipient address rejected: Access denied. [DB5EUR03FT034.eop-EUR03.prod.protection.outlook.com]",
    },
  };

  test("an address that is unknown says nothing against the door; a mailbox that another upstream signs in as is a fault", () => {
    const findings = doorFindings(
      subject(INSIDE, asked),
      found({ tls: "TLSv1.3", certificate: CERTIFICATE, recipients: asked.map(({ address }) => ({ address, refusal: unknown })) }),
    );

    expect(findings.filter(({ id }) => id === "direct-send").map(({ verdict }) => verdict)).toEqual(["warning"]);
    expect(faults(findings)).toMatchObject([{ id: "mailbox", remedy: expect.stringContaining("scanner@contoso.com does not exist") }]);
  });

  test("what is temporary is a fault of the moment, with Microsoft's words", () => {
    const busy: Refusal = { stage: "rcpt", reply: { code: 451, enhanced: "4.7.500", text: "Server busy. Please try again later" } };
    const recipients = [{ address: "it@contoso.com", refusal: busy }];

    const [finding] = faults(doorFindings(subject(INSIDE, asked), found({ recipients })));

    expect(finding).toMatchObject({ id: "direct-send", evidence: expect.stringContaining("451 4.7.500 Server busy") });
  });
});
