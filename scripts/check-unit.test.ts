import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { SERVICE_GROUP } from "../src/cli/setup/service-group.ts";

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

test.skipIf(spawnSync("systemd-sysusers", ["--version"]).error !== undefined)("the user that the unit names is made for it", () => {
  const root = mkdtempSync(join(tmpdir(), "postern-users-"));
  try {
    mkdirSync(join(root, "etc"));
    execFileSync("systemd-sysusers", [`--root=${root}`, fileURLToPath(new URL("../systemd/postern.sysusers.conf", import.meta.url))], {
      stdio: "pipe",
    });
    const user = /^User=(\S+)$/m.exec(UNIT)?.[1] ?? "none";
    const group = /^Group=(\S+)$/m.exec(UNIT)?.[1] ?? "none";

    const [, gid = ""] = new RegExp(`^${group}:x:(\\d+):`, "m").exec(readFileSync(join(root, "etc/group"), "utf8")) ?? [];
    expect(readFileSync(join(root, "etc/passwd"), "utf8")).toMatch(new RegExp(`^${user}:x:\\d+:${gid}:.*:/usr/sbin/nologin$`, "m"));
    expect(gid).not.toBe("");
    expect(group).toBe(SERVICE_GROUP);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("a fault of the configuration is not met with restarts", () => {
  expect(UNIT).toMatch(/^Restart=always$/m);
  expect(UNIT).toMatch(/^RestartPreventExitStatus=78$/m);
});
