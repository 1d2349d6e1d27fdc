import { execFile, execFileSync, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const LAUNCHER = fileURLToPath(new URL("../../bin/postern", import.meta.url));

/** A Node without SQLite of its own, where this machine has one: what the launcher is there for. */
const OLD_NODE = ["/usr/bin/node", "/usr/local/bin/node"].find(
  (path) => existsSync(path) && execFileSync(path, ["-p", "String(process.versions.sqlite)"], { encoding: "utf8" }).trim() === "undefined",
);

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "postern-bin-"));
  mkdirSync(join(root, "bin"));
  copyFileSync(LAUNCHER, join(root, "bin/postern"));
  writeFileSync(join(root, "package.json"), '{"type":"module"}');
});

afterEach(() => rmSync(root, { recursive: true }));

function build(main: string): void {
  mkdirSync(join(root, "dist"));
  writeFileSync(join(root, "dist/main.js"), main);
}

function launch(
  node: string,
  args: readonly string[] = [],
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const options = { env };
    execFile(node, [join(root, "bin/postern"), ...args], options, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    );
  });
}

test("what is not built is said in one line", async () => {
  const outcome = await launch(process.execPath);

  expect(outcome).toEqual({
    code: 69,
    stdout: "",
    stderr: "postern: it is not built yet (dist/main.js is missing): run npm ci, or npm run build after a change\n",
  });
});

test("on a Node that is new enough the program runs in the same process", async () => {
  build("console.log(process.argv.slice(2).join(' ')); process.exitCode = 77;");

  expect(await launch(process.execPath, ["explain", "--ip"])).toEqual({ code: 77, stdout: "explain --ip\n", stderr: "" });
});

test.runIf(process.platform === "linux")("the relay has an allocator that gives memory back, unless somebody chose another", async () => {
  build(
    "const { MALLOC_ARENA_MAX: arenas, MALLOC_MMAP_THRESHOLD_: apart } = process.env; console.log(process.argv.slice(2).join(' '), arenas, apart);",
  );
  const { MALLOC_ARENA_MAX: _arenas, MALLOC_MMAP_THRESHOLD_: _apart, MALLOC_TRIM_THRESHOLD_: _trim, ...env } = process.env;

  const [relay, chosen, command] = await Promise.all([
    launch(process.execPath, ["run", "--config", "a b"], env),
    launch(process.execPath, ["run"], { ...env, MALLOC_ARENA_MAX: "7" }),
    launch(process.execPath, ["status"], env),
  ]);

  expect(relay).toEqual({ code: 0, stdout: "run --config a b 2 131072\n", stderr: "" });
  expect(chosen).toEqual({ code: 0, stdout: "run 7 131072\n", stderr: "" });
  expect(command).toEqual({ code: 0, stdout: "status undefined undefined\n", stderr: "" });
});

test("the service and the container have the allocator's settings from the beginning", () => {
  const [launcher, unit, dockerfile] = ["bin/postern", "systemd/postern.service", "Dockerfile"].map((path) =>
    readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8"),
  );
  const settings = [...(launcher ?? "").matchAll(/(MALLOC_\w+): "(\w+)"/g)].map(([, name, value]) => `${name}=${value}`);

  expect(settings).toHaveLength(3);
  expect(unit).toContain(`Environment=${settings.join(" ")}\n`);
  expect(dockerfile).toContain(`ENV ${settings.join(" ")}\n`);
});

test.runIf(process.platform === "linux")("the relay stays the process that was started", async () => {
  build("process.on('SIGTERM', () => process.exit(75)); setInterval(() => {}, 1000); console.log(process.pid);");

  const child = spawn(process.execPath, [join(root, "bin/postern"), "run"], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  child.kill("SIGTERM");
  const [code] = (await once(child, "exit")) as [number];

  expect(Number(said.toString())).toBe(child.pid);
  expect(code).toBe(75);
});

test("npm start hands the signal of whoever ends it to the demo, which then clears up behind itself", async () => {
  const { scripts } = JSON.parse(readFileSync(fileURLToPath(new URL("../../package.json", import.meta.url)), "utf8")) as {
    scripts: Record<string, string>;
  };
  const command = scripts["start"]?.replace("node bin/postern demo", `"${process.execPath}" -p process.pid`) ?? "";
  // npm runs a script by a shell, and signals that.
  const shell = spawn("sh", ["-c", command], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(shell.stdout, "data")) as [Buffer];

  expect(Number(said.toString())).toBe(shell.pid);
});

test.skipIf(OLD_NODE === undefined)("an old Node alone is told what is missing", async () => {
  build("");

  const outcome = await launch(OLD_NODE ?? "");

  expect(outcome.code).toBe(69);
  expect(outcome.stderr).toMatch(/^postern: needs Node [^\n]+\n$/);
});

test.skipIf(OLD_NODE === undefined)("an old Node finds the bundled one, passes on signals and takes over its exit code", async () => {
  build("process.on('SIGTERM', () => process.exit(75)); setInterval(() => {}, 1000); console.log(process.versions.sqlite !== undefined);");
  mkdirSync(join(root, "node_modules/node24/bin"), { recursive: true });
  symlinkSync(process.execPath, join(root, "node_modules/node24/bin/node"));

  const child = spawn(OLD_NODE ?? "", [join(root, "bin/postern")], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  child.kill("SIGTERM");
  const [code] = (await once(child, "exit")) as [number];

  expect(String(said)).toBe("true\n");
  expect(code).toBe(75);
});

test.skipIf(OLD_NODE === undefined)(
  "a relay whose launcher is killed ends in an orderly way, and at once when it was ending already",
  async () => {
    build(`
    import { watchSignals } from ${JSON.stringify(new URL("../platform/signals.ts", import.meta.url).href)};
    const idle = setInterval(() => {}, 1000);
    watchSignals({
      stop: (reason, again) => {
        console.log(reason, again);
        if (again || reason === "launcher killed") clearInterval(idle);
      },
      reload: () => {},
    });
    console.log("ready");`);
    mkdirSync(join(root, "node_modules/node24/bin"), { recursive: true });
    symlinkSync(process.execPath, join(root, "node_modules/node24/bin/node"));
    const said = async (signals: readonly NodeJS.Signals[]): Promise<string[]> => {
      const left = [...signals];
      const launcher = spawn(OLD_NODE ?? "", [join(root, "bin/postern"), "run"], { stdio: ["ignore", "pipe", "inherit"] });
      const lines: string[] = [];
      // Ends when the relay has ended: it holds the pipe.
      for await (const line of createInterface({ input: launcher.stdout })) {
        lines.push(line);
        launcher.kill(left.shift());
      }
      return lines;
    };

    const [killed, impatient] = await Promise.all([said(["SIGKILL"]), said(["SIGTERM", "SIGKILL"])]);

    expect(killed).toEqual(["ready", "launcher killed false"]);
    expect(impatient).toEqual(["ready", "SIGTERM false", "launcher killed true"]);
  },
);
