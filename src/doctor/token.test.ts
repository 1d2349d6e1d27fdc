import { expect, test } from "vitest";
import type { GraphConfig, SmtpAuthConfig } from "../config/config.ts";
import type { TokenClaims } from "../upstream/upstream.ts";
import { permissionFinding, tokenFinding } from "./token.ts";

const NOW = Date.UTC(2026, 0, 5, 9);
const TENANT = "8b1c6a2e-0f4d-4c57-9a63-2d5f7e9b1c04";
const SMTP = {
  type: "smtp-auth",
  mailbox: "scanner@contoso.com",
  tenant: TENANT,
  scope: "https://outlook.office365.com/.default",
  credential: { type: "client-secret" },
} as unknown as SmtpAuthConfig;
const GRAPH = { ...SMTP, type: "graph", scope: "https://graph.microsoft.com/.default" } as unknown as GraphConfig;
const TOKEN: TokenClaims = {
  audience: "https://outlook.office365.com",
  tenant: TENANT,
  application: undefined,
  expiresAt: NOW + 3_600_000,
  roles: ["SMTP.SendAsApp"],
  scopes: [],
};

test("a token that fits is ok, with whom it is for and how long", () => {
  expect(tokenFinding("scans", SMTP, TOKEN, NOW)).toMatchObject({
    verdict: "ok",
    evidence: `a token for https://outlook.office365.com, tenant ${TENANT}, valid for 60 minutes`,
  });
});

test.each([
  [{ ...TOKEN, audience: "https://graph.microsoft.com" }, "Correct scope"],
  [{ ...TOKEN, tenant: "00000000-0000-4000-8000-000000000000" }, "Correct tenant"],
  [{ ...TOKEN, expiresAt: NOW + 60_000 }, "Correct this machine's clock"],
])("a token that does not fit: %#", (token, remedy) => {
  const finding = tokenFinding("scans", SMTP, token, NOW);

  expect(finding.verdict).toBe("fault");
  expect(finding.remedy).toContain(remedy);
});

test("a permission that is missing is a fault only where the sign-in was refused: RBAC may give the right", () => {
  const bare = { ...TOKEN, roles: [] };

  expect(permissionFinding("scans", SMTP, TOKEN, "untried")?.verdict).toBe("ok");
  expect(permissionFinding("scans", SMTP, bare, "untried")).toMatchObject({
    verdict: "warning",
    remedy: expect.stringContaining(
      "for scanner@contoso.com alone (RBAC for Applications): New-ManagementRoleAssignment -Role 'Application SMTP.SendAsApp'",
    ),
  });
  expect(permissionFinding("scans", SMTP, bare, "accepted")?.verdict).toBe("ok");
  expect(permissionFinding("scans", SMTP, bare, "refused")?.verdict).toBe("fault");
  expect(permissionFinding("graph", GRAPH, { ...TOKEN, roles: ["Mail.Send"] }, "untried")?.verdict).toBe("ok");
  expect(permissionFinding("graph", GRAPH, TOKEN, "untried")?.evidence).toContain("no Mail.Send (it has SMTP.SendAsApp)");
});

test("a delegated permission that is missing is a fault: nothing else gives the right", () => {
  const config = { ...SMTP, credential: { type: "device-code" } } as unknown as SmtpAuthConfig;

  expect(permissionFinding("scans", config, { ...TOKEN, scopes: ["SMTP.Send"] }, "untried")?.verdict).toBe("ok");
  expect(permissionFinding("scans", config, TOKEN, "untried")).toMatchObject({
    verdict: "fault",
    remedy: expect.stringContaining("postern auth login scans"),
  });
});
