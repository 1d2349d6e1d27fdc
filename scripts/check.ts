/**
 * Everything that must hold before a change is kept: `npm run check`. All steps run, the failed ones are named at the end.
 *
 *     node scripts/check.ts [--skip-tests] [--report FILE]     FILE gets the counts as JSON
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

interface Step {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** What to do when it fails. */
  readonly hint: string;
}

interface StepResult {
  readonly name: string;
  readonly ok: boolean;
  readonly seconds: number;
}

/** What `--report` writes. Steps other than the tests count one each. */
interface CheckReport {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly testsRun: number;
  readonly steps: readonly StepResult[];
}

const root = fileURLToPath(new URL("..", import.meta.url));
const { values } = parseArgs({ options: { "skip-tests": { type: "boolean", default: false }, report: { type: "string" } } });
const scratch = mkdtempSync(join(tmpdir(), "postern-check-"));
const testReport = join(scratch, "tests.json");

const STEPS: readonly Step[] = [
  { name: "format", command: ["oxfmt", "--check", "."], hint: "npm run format" },
  { name: "lint", command: ["oxlint", "--deny-warnings"], hint: "npm run lint" },
  { name: "types", command: ["tsc", "-p", "tsconfig.json", "--noEmit"], hint: "npm run types" },
  { name: "import rules", command: ["node", "scripts/check-imports.ts"], hint: "the table is scripts/import-rules.ts" },
  {
    name: "dead code",
    command: ["knip", "--no-progress", "--no-config-hints"],
    hint: "remove what nobody uses, or tell knip.json why it stays",
  },
  { name: "generated files", command: ["node", "scripts/generate.ts", "--check"], hint: "npm run generate" },
];

const TESTS: Step = {
  name: "tests",
  command: ["vitest", "run", "--reporter=default", "--reporter=json", `--outputFile.json=${testReport}`],
  hint: "npm test",
};

/** The part of vitest's JSON report that is used. */
interface TestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

/** Counts of the tests; undefined when they did not even start. A file that cannot be loaded has no tests to fail, so it counts as one. */
function readTests(): { passed: number; failed: number; skipped: number } | undefined {
  try {
    const report = JSON.parse(readFileSync(testReport, "utf8")) as TestReport;
    const broken = report.testResults.filter(({ status, assertionResults }) => status === "failed" && assertionResults.length === 0);
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + broken.length,
      skipped: report.numPendingTests + report.numTodoTests,
    };
  } catch {
    return undefined;
  }
}

async function runStep({ name, command: [program, ...args] }: Step): Promise<StepResult> {
  const startedAt = performance.now();
  const path = `${join(root, "node_modules/.bin")}${delimiter}${process.env["PATH"] ?? ""}`;
  const chunks: Buffer[] = [];
  const loud = name === TESTS.name;
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, PATH: path },
    stdio: loud ? "inherit" : ["ignore", "pipe", "pipe"],
  });
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => chunks.push(chunk));
  const [code] = (await once(child, "close")) as [number | null];
  const ok = code === 0;
  // Silent when all is well; a failed step shows all it said.
  if (!ok && chunks.length > 0) process.stdout.write(Buffer.concat(chunks));
  const seconds = (performance.now() - startedAt) / 1000;
  console.log(`${ok ? "ok    " : "FAILED"} ${name} (${seconds.toFixed(1)} s)`);
  return { name, ok, seconds };
}

try {
  const results: StepResult[] = [];
  const steps = values["skip-tests"] ? STEPS : [...STEPS, TESTS];
  for (const step of steps) results.push(await runStep(step));

  const tests = readTests();
  const testsRun = tests === undefined ? 0 : tests.passed + tests.failed;
  const others = results.filter(({ name }) => name !== TESTS.name);
  const testStepFailed = results.some(({ name, ok }) => name === TESTS.name && (!ok || testsRun === 0));
  const report: CheckReport = {
    passed: others.filter(({ ok }) => ok).length + (tests?.passed ?? 0),
    failed: others.filter(({ ok }) => !ok).length + Math.max(tests?.failed ?? 0, testStepFailed ? 1 : 0),
    skipped: tests?.skipped ?? 0,
    testsRun,
    steps: results,
  };
  if (values.report !== undefined) writeFileSync(values.report, JSON.stringify(report));
  if (testStepFailed && testsRun === 0) console.log("FAILED no test ran");
  for (const { name, ok } of results) {
    if (!ok) console.log(`failed: ${name}. To repair: ${steps.find((step) => step.name === name)?.hint ?? ""}`);
  }
  if (report.failed === 0)
    console.log(`all ${steps.length} steps passed in ${results.reduce((sum, { seconds }) => sum + seconds, 0).toFixed(0)} s`);
  process.exitCode = report.failed === 0 ? 0 : 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
