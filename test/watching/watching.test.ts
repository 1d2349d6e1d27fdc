/** What is shipped for Grafana and Prometheus names only what Postern tells, and Debian's Prometheus finds data for all of it. */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { dashboardQueries, renderDashboard } from "../../scripts/grafana-dashboard.ts";
import { METRICS } from "../../src/observe/metrics.ts";
import { ANNA, SCANNER, startContoso, type Contoso } from "../e2e/tenant.ts";
import { freePort } from "../support/ports.ts";
import { runProcess, startProcess, type RunningProcess } from "../support/process.ts";
import { tempDir } from "../support/temp-dir.ts";
import { hasTool } from "../support/tools.ts";

const ALERTS = fileURLToPath(new URL("../../config/prometheus/alerts.yaml", import.meta.url));
const ALERT_TESTS = fileURLToPath(new URL("alerts.test.yaml", import.meta.url));
const LONGEST_WAIT_MS = 60_000;

/** Names of Postern's metrics in an expression, a histogram's series as the histogram. */
function metricsIn(expression: string): string[] {
  return [...expression.matchAll(/\bpostern_([a-z_]+)\b/g)].map(([, name = ""]) => {
    const histogram = /^(.+)_(?:bucket|sum|count)$/.exec(name)?.[1] ?? "";
    return (METRICS as Readonly<Record<string, { type: string }>>)[histogram]?.type === "histogram" ? histogram : name;
  });
}

describe("names", () => {
  test.each(dashboardQueries("5m"))("panel $panel asks for metrics that exist: $expr", ({ expr }) => {
    expect(metricsIn(expr).length).toBeGreaterThan(0);
    for (const name of metricsIn(expr)) expect(Object.keys(METRICS)).toContain(name);
  });

  test("every metric has a place on the dashboard", () => {
    const shown = new Set(dashboardQueries("5m").flatMap(({ expr }) => metricsIn(expr)));

    expect(Object.keys(METRICS).filter((name) => !shown.has(name))).toEqual([]);
  });

  test("alert rules name metrics that exist", async () => {
    const rules = [...(await readFile(ALERTS, "utf8")).matchAll(/^ +expr: (.+)$/gm)].map(([, expr = ""]) => expr);

    expect(rules.length).toBeGreaterThan(10);
    for (const name of rules.flatMap(metricsIn)) expect(Object.keys(METRICS)).toContain(name);
  });

  test("no two panels overlap, and every one has a title, a description and queries", () => {
    const { panels } = JSON.parse(renderDashboard()) as {
      panels: { id: number; type: string; title: string; description?: string; gridPos: { x: number; y: number; w: number; h: number } }[];
    };
    const taken = new Set<string>();

    expect(panels.filter(({ type, description }) => type !== "row" && (description ?? "").length < 20)).toEqual([]);
    for (const { gridPos } of panels) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken).not.toContain(`${x} ${y}`);
          taken.add(`${x} ${y}`);
        }
      }
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    }
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  });
});

describe.skipIf(!hasTool("promtool"))("promtool", () => {
  test("accepts the alert rules", async () => {
    expect(await runProcess("promtool", ["check", "rules", ALERTS])).toMatchObject({ code: 0 });
  });

  test("finds each alert raised when it should be", async () => {
    const { code, stdout, stderr } = await runProcess("promtool", ["test", "rules", ALERT_TESTS]);

    expect({ code, said: stdout + stderr }).toMatchObject({ code: 0 });
  });
});

describe.skipIf(!hasTool("prometheus"))("Debian's Prometheus", () => {
  let contoso: Contoso | undefined;
  let prometheus: RunningProcess | undefined;

  afterEach(async () => {
    await prometheus?.stop();
    await contoso?.close();
  });

  interface Answer {
    readonly status: string;
    readonly error?: string;
    readonly data?: { readonly result: readonly unknown[] };
  }

  test("scrapes a relay at work, and every panel of the dashboard has data", { timeout: 120_000 }, async () => {
    const folder = await tempDir();
    const port = await freePort();
    contoso = await startContoso({ credential: "client-certificate" });
    const admin = contoso.relay().adminAddresses[0];
    const configFile = join(folder.path, "prometheus.yaml");
    await writeFile(
      configFile,
      JSON.stringify({
        global: { scrape_interval: "200ms", scrape_timeout: "200ms", evaluation_interval: "500ms" },
        rule_files: [ALERTS],
        scrape_configs: [{ job_name: "postern", static_configs: [{ targets: [`${admin?.address}:${admin?.port}`] }] }],
      }),
    );
    prometheus = await startProcess("prometheus", [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(folder.path, "tsdb")}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]);
    await prometheus.waitForLine((line) => line.includes("Server is ready to receive web requests"));
    const ask = async (expr: string): Promise<Answer> => {
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expr)}`);
      return (await answer.json()) as Answer;
    };
    // Another program scrapes on its own clock and has no event for it.
    const until = async (expr: string): Promise<void> => {
      const deadline = performance.now() + LONGEST_WAIT_MS;
      while (((await ask(expr)).data?.result.length ?? 0) === 0) {
        if (performance.now() > deadline) throw new Error(`nothing for ${expr} within a minute`);
        await wait(50);
      }
    };
    await contoso.scan(SCANNER, ANNA, "unknown@contoso.com");
    await contoso.event("recipient.bounced");
    await contoso.event("recipient.delivered", ({ recipient }) => recipient === ANNA);
    await until("postern_recipients_total{state='delivered'} > 0");
    // A rate needs a counter that moved between two scrapes.
    await contoso.scan(SCANNER, ANNA, "unknown@contoso.com");
    await until("sum(rate(postern_recipients_total{state='delivered'}[5m])) > 0");

    const results = await Promise.all(dashboardQueries("5m").map(async ({ panel, expr }) => ({ panel, expr, answer: await ask(expr) })));

    expect(results.filter(({ answer }) => answer.status !== "success")).toEqual([]);
    const empty = [...Map.groupBy(results, ({ panel }) => panel)]
      .filter(([, queries]) => queries.every(({ answer }) => answer.data?.result.length === 0))
      .map(([panel]) => panel);
    expect(empty).toEqual([]);
    const rules = (await (await fetch(`http://127.0.0.1:${port}/api/v1/rules`)).json()) as {
      data: { groups: { rules: { name: string; health: string; lastError?: string }[] }[] };
    };
    expect(rules.data.groups.flatMap((group) => group.rules).filter(({ health }) => health === "err")).toEqual([]);
    await folder.remove();
  });
});
