import { describe, expect, test } from "vitest";
import { formatFinding } from "../../config/finding.ts";
import { parseConfig } from "../../config/load.ts";
import { DOORS } from "./answers.ts";
import type { Answers, DoorKind } from "./answers.ts";
import { renderConfig } from "./config-file.ts";
import { renderPowerShell } from "./tenant-steps.ts";

function answersWith(doors: readonly DoorKind[], recipients: Answers["recipients"]): Answers {
  return {
    hostname: "relay.contoso.com",
    dataDir: "/var/lib/postern",
    domains: ["contoso.com"],
    postmaster: "it@contoso.com",
    defaultSender: "printers@contoso.com",
    timeZone: undefined,
    listen: [":25"],
    networks: ["10.20.0.0/16"],
    recipients,
    oldTls: false,
    doors,
    tenant: "contoso.onmicrosoft.com",
    mailbox: "scanner@contoso.com",
    volumeAccount: "notifications@contoso.com",
    clientId: "11111111-2222-3333-4444-555555555555",
    credential: "certificate",
    secretExpires: undefined,
    publicAddress: "203.0.113.7",
    files: {
      secret: "secrets/entra",
      certificate: "certs/entra.pem",
      key: "certs/entra.key",
      connectorCertificate: "certs/connector.pem",
      connectorKey: "certs/connector.key",
      volumePassword: "secrets/volume",
    },
    overrides: {},
  };
}

describe.each<Answers["recipients"]>(["internal", "any"])("with recipients %s", (recipients) => {
  test.each(DOORS.map((first) => [first] as const))("%s and each other door give a file that loads, with a door for each", (first) => {
    for (const second of DOORS) {
      const doors = first === second ? [first] : [first, second];

      const loaded = parseConfig(renderConfig(answersWith(doors, recipients)), "p.yaml", "/etc/postern");

      expect(loaded.ok ? [] : loaded.faults.map(formatFinding)).toEqual([]);
      expect(loaded.ok && Object.keys(loaded.config.upstreams)).toHaveLength(doors.length);
    }
  });

  test("all doors together give a file that loads", () => {
    const loaded = parseConfig(renderConfig(answersWith(DOORS, recipients)), "p.yaml", "/etc/postern");

    expect(loaded.ok && Object.keys(loaded.config.upstreams)).toHaveLength(DOORS.length);
  });
});

test("two connectors have different names in the tenant, too", () => {
  const script = renderPowerShell(answersWith(["connector-certificate", "connector-address"], "any"));

  const names = [...script.matchAll(/New-InboundConnector -Name ('[^']+')/g)].map(([, name]) => name);
  expect(names).toEqual(["'Postern'", "'Postern by address'"]);
});
