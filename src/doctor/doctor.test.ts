import { expect, test } from "vitest";
import type { Config } from "../config/config.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { examine } from "./doctor.ts";

const NOW = Date.UTC(2026, 10, 27, 9);

/** What the doctor says of the end of a door's credential that ends at the end of 2027-02-24. */
async function expiryOf(credential: object): Promise<string | undefined> {
  const own = { type: "smtp-auth", mailbox: "scanner@contoso.com", host: "smtp.office365.com", port: 587, credential };
  const upstream = {
    name: "person",
    type: "smtp-auth",
    traits: { microsoft: true, nullSender: "mailbox", sender: {} },
    credentialExpiresAt: Date.UTC(2027, 1, 25),
    diagnose: () => Promise.resolve({ stages: [], places: [], recipients: [] }),
  };
  const config = {
    data_dir: "/",
    organization: { domains: [], postmaster: "it@contoso.com", default_sender: "relay@contoso.com" },
    upstreams: { person: own },
  };
  const options = {
    config: config as unknown as Config,
    upstreams: new Map([["person", upstream as unknown as Upstream]]),
    now: () => NOW,
    disk: () => Promise.reject(new Error("not asked")),
    refusal: () => undefined,
    certificates: () => [],
    dateOf: () => Promise.resolve(undefined),
    dns: { txt: () => Promise.resolve([]), addresses: () => Promise.resolve([]), mx: () => Promise.resolve([]) },
  };
  for await (const item of examine(options, new AbortController().signal))
    if ("finding" in item && item.finding.id === "expiry") return item.finding.evidence;
  return undefined;
}

test.each([
  [{ type: "client-secret", expires: 1 }, "the secret ends on 2027-02-24, in 89 days"],
  [{ type: "password", expires: 1 }, "the password ends on 2027-02-24, in 89 days"],
  [{ type: "client-certificate" }, "the certificate ends on 2027-02-24, in 89 days"],
  [{ type: "device-code" }, "the sign-in, which the relay renews by itself, ends on 2027-02-24, in 89 days"],
])("what ends is called by its name: %o", async (credential, told) => {
  expect(await expiryOf(credential)).toBe(told);
});
