import { expect, test } from "vitest";
import { clockFinding, diskFindings, expiryFinding } from "./machine.ts";

const NOW = Date.UTC(2026, 0, 5, 9);
const DAY = 86_400_000;
const MIB = 1024 * 1024;

test.each([
  [39, "fault", "39 MiB free"],
  [511, "fault", "511 MiB free"],
  [1000, "warning", "1000 MiB free"],
  [4096, "ok", "4.0 GiB free"],
])("%i MiB free over a floor of 512 MiB: %s", (free, verdict, said) => {
  const findings = diskFindings("/var/lib/postern", { freeBytes: free * MIB, floorBytes: 512 * MIB, unwritable: undefined });

  expect(findings.map((finding) => `${finding.id} ${finding.verdict}`)).toEqual(["data-dir ok", `disk ${verdict}`]);
  expect(findings.at(-1)?.evidence).toBe(`${said} in /var/lib/postern, mail is refused under 512 MiB`);
});

test("a folder that cannot be written to is a fault", () => {
  const [finding] = diskFindings("/var/lib/postern", {
    freeBytes: 4096 * MIB,
    floorBytes: 512 * MIB,
    unwritable: "EACCES: permission denied",
  });

  expect(finding).toMatchObject({ id: "data-dir", verdict: "fault", evidence: "/var/lib/postern: EACCES: permission denied" });
});

test.each([
  [0, "ok"],
  [-29_000, "ok"],
  [40_000, "warning"],
  [-301_000, "fault"],
  [301_000, "fault"],
])("a clock that is %i ms off: %s", (skew, verdict) => {
  expect(clockFinding({ host: "login.microsoftonline.com", at: NOW, now: NOW + skew }).verdict).toBe(verdict);
});

test("a clock that nothing can be compared with is not tested", () => {
  expect(clockFinding(undefined).verdict).toBe("not-tested");
  expect(clockFinding({ host: "login.microsoftonline.com", fault: "ECONNREFUSED" }).verdict).toBe("not-tested");
  expect(clockFinding({ host: "login.microsoftonline.com", at: undefined, now: NOW }).verdict).toBe("not-tested");
});

test.each([
  [NOW + 31 * DAY, "ok", "ends on 2026-02-05, in 31 days"],
  [NOW + 36 * 3_600_000, "warning", "ends on 2026-01-06, in 1 day"],
  [Date.UTC(2026, 11, 11), "ok", "ends on 2026-12-10, in 339 days"],
  [NOW - 1, "fault", "ended on 2026-01-05"],
])("what ends at %i: %s", (endsAt, verdict, evidence) => {
  const finding = expiryFinding("expiry", "scans", "the secret", endsAt, NOW, "Make a new one");

  expect(finding.verdict).toBe(verdict);
  expect(finding.evidence).toBe(`the secret ${evidence}`);
});
