import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

const UNIT = readFileSync(new URL("../systemd/postern.service", import.meta.url), "utf8");
const missing = spawnSync("systemd-analyze", ["--version"]).error !== undefined;

/** systemd-analyze also looks whether the program exists, which here it does not. */
function analyze(args: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "postern-unit-"));
  try {
    const unit = join(folder, "postern.service");
    writeFileSync(unit, UNIT.replaceAll("/opt/postern/bin/postern", "/bin/true"));
    return execFileSync("systemd-analyze", [...args, unit], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test.skipIf(missing)("systemd accepts the unit", () => {
  expect(analyze(["verify"])).toBe("");
});

test.skipIf(missing)("the sandbox leaves an exposure under 2.0 of 10", () => {
  const [, score] = /Overall exposure level for [^:]+: ([\d.]+)/.exec(analyze(["security", "--offline=true", "--no-pager"])) ?? [];

  expect(Number(score)).toBeLessThan(2);
});

test("a fault of the configuration is not met with restarts", () => {
  expect(UNIT).toMatch(/^Restart=always$/m);
  expect(UNIT).toMatch(/^RestartPreventExitStatus=78$/m);
});
