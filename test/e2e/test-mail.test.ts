/** `postern test` on a running relay with the stand-in as tenant: each end that a mail can take, told as it is. */
import { afterEach, expect, test } from "vitest";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { SyslogServer } from "../fakes/syslog-server.ts";
import { freePort } from "../support/ports.ts";
import { DEFAULT_SECRET } from "../../src/simulator/tenant.ts";
import { main } from "../../src/cli/program.ts";
import { ANNA, POSTMASTER, SCANNER, startContoso, WRONG_SECRET, type Contoso, type ContosoOptions } from "./tenant.ts";
import { printed } from "../support/printed.ts";

let contoso: Contoso;

afterEach(async () => {
  await contoso.close();
});

async function start(options: ContosoOptions = {}): Promise<void> {
  contoso = await startContoso(options);
}

const postern = async (...args: string[]) => await printed(() => main(["test", ...args, "--config", `${contoso.folder}/postern.yaml`]));

test("delivered: each step with its time, Microsoft's reply word for word, exit code 0", async () => {
  await start();

  const { code, out } = await postern("--to", ANNA);

  expect(code).toBe(0);
  const [arrived] = contoso.sim.messages();
  expect(arrived?.headers.find(({ name }) => name.toLowerCase() === "subject")?.value.trim()).toBe("Test mail from Postern");
  expect(arrived?.reversePath).toBe(SCANNER);
  const { queueId = "" } =
    /accepted +(?<queueId>[0-9A-Z]{26}), \d+ octets from scanner@contoso.com to anna@contoso.com/.exec(out)?.groups ?? {};
  expect(out).toMatch(/^\d\d:\d\d:\d\d[.,]\d{3} {2}accepted /m);
  expect(out).toContain("route       default: scans");
  expect(out).toContain("door        scans (smtp-auth)");
  expect(out).toMatch(/attempt {5}1 by scans, 127\.0\.0\.1:\d+, TLSv1\.[23]\n/);
  expect(out).toMatch(/answer {6}delivered at final; \d+ ms to connect, \d+ ms to transmit\n +250 2\.0\.0 OK /);
  expect(out).toMatch(/delivered {3}\d+\.\d s after it was accepted/);
  expect((await contoso.relay().queue.show(queueId))?.entries[0]?.state).toBe("delivered");
  expect(contoso.all("operator.acted")).toMatchObject([{ verb: "test", queueIds: [queueId] }]);
  await contoso.expectSound(true);
});

test("refused: the reply and the remedy, exit code 69", async () => {
  await start();

  const { code, out } = await postern("--to", "unknown@contoso.com");

  expect(code).toBe(69);
  expect(out).toMatch(/bounced {5}for good: 5\d\d /);
  await contoso.expectSound();
});

test("held: why, the remedy, and that it stays in the queue; exit code 75", async () => {
  await start({ secret: WRONG_SECRET });

  const { code, out } = await postern("--to", ANNA, "--json", "--wait", "2s");
  const mail = JSON.parse(out) as { outcome: string; queueId: string; door: { hold: { remedy: string } } };

  expect(code).toBe(75);
  expect(mail.outcome).toBe("waiting");
  expect(mail.door.hold.remedy).toMatch(/secret/i);
  expect((await contoso.relay().queue.show(mail.queueId))?.entries[0]).toMatchObject({ state: "held", heldBy: "upstream" });
  await contoso.expectSound();
});

test("held, for people: words in one column, and what is said of the mail is not said again of the door", async () => {
  await start({ secret: WRONG_SECRET });

  const { out } = await postern("--to", ANNA, "--wait", "2s");

  expect(out).toMatch(
    /^\S+ {2}held {8}by upstream, on scans: Entra: the client secret is wrong.*\n {26}scans is closed for that\n {26}remedy: /m,
  );
  expect(out.match(/AADSTS7000215/g)).toHaveLength(1);
  await contoso.expectSound();
});

test("by the second door: both doors, their attempts and the move between them stand in the order of their times", async () => {
  await start({ graph: {}, via: ["graph", "scans"] });
  contoso.sim.faults.set("graph-access-denied");

  const { code, out } = await postern("--to", ANNA);

  const steps = [...out.matchAll(/^(?<time>\d\S+) {2}(?<word>\w+) +(?<first>\S+)/gm)].map(({ groups }) => groups ?? {});
  const times = steps.map(({ time = "" }) => time);
  expect(code).toBe(0);
  expect(times).toEqual(times.toSorted());
  expect(steps.slice(2).map(({ word, first }) => `${word} ${first}`)).toEqual([
    "door graph",
    "attempt 1",
    "answer deferred",
    "note moved",
    "door scans",
    "attempt 2",
    "answer delivered",
    expect.stringMatching(/^delivered /),
  ]);
  await contoso.expectSound(true);
});

test("by one upstream only, closed as it is: a repaired door is tried at once, the route's others are not used", async () => {
  await start({ graph: {}, via: ["graph", "scans"], secret: WRONG_SECRET });
  const broken = await postern("--to", ANNA, "--upstream", "scans", "--wait", "2s");
  await contoso.event("upstream.held", ({ upstream }) => upstream === "scans");
  await contoso.writeSecret(DEFAULT_SECRET);

  const repaired = await postern("--to", ANNA, "--upstream", "scans");

  expect(broken.code).toBe(75);
  expect(repaired.code).toBe(0);
  expect(repaired.out).toContain("route       (asked for): scans");
  expect(new Set(contoso.all("recipient.delivered").map(({ upstream }) => upstream))).toEqual(new Set(["scans"]));
  await contoso.expectSound(true);
});

test.each([
  [["--to", "anna"], 64, 'to: "anna" is not an address such as anna@contoso.com'],
  [["--to", ANNA, "--from", "x@fabrikam.com"], 64, "from: x@fabrikam.com is in none of organization.domains (contoso.com)"],
  [["--to", ANNA, "--upstream", "nope"], 64, 'upstream: "nope" is not one of scans'],
  [["--to", ANNA, "--wait", "soon"], 64, '--wait: "soon" is not a time such as 60s or 5m'],
])("%j is refused in one line, and nothing is sent", async (args, expected, line) => {
  await start();

  const { code, err } = await postern(...args);

  expect(code).toBe(expected);
  expect(err).toBe(`postern: ${line}\n`);
  expect(contoso.all("message.accepted")).toEqual([]);
});

test("without the daemon: 69, and what to do", async () => {
  await start();
  await contoso.relay().stop();

  const { code, err } = await postern("--to", ANNA);

  expect(code).toBe(69);
  expect(err).toMatch(/^postern: the daemon is not running .*: start it with systemctl start postern or postern run\n$/);
});

/** The ways of telling alerts: a webhook and a syslog server that take everything, and mail. */
async function ways() {
  const posted: string[] = [];
  const webhook = createServer((request, response) => {
    request.setEncoding("utf8").on("data", (piece: string) => posted.push(piece));
    request.on("end", () => response.writeHead(202).end());
  });
  webhook.listen(0, "127.0.0.1");
  await once(webhook, "listening");
  const syslog = new SyslogServer();
  return {
    posted,
    syslog,
    url: `http://127.0.0.1:${(webhook.address() as AddressInfo).port}/`,
    syslogPort: await syslog.listen(),
    close: async () => {
      webhook.close();
      await syslog.close();
    },
  };
}

async function startTelling({ url, syslogPort }: { url: string; syslogPort: number }, more: ContosoOptions = {}): Promise<void> {
  await start({
    more: () => ({
      alerts: {
        webhook: { url: { file: "webhook-url" } },
        syslog: { address: `tcp://127.0.0.1:${syslogPort}` },
        mail: { to: [POSTMASTER, ANNA] },
      },
    }),
    beforehand: (_sim, configFile) => writeFile(join(dirname(configFile), "webhook-url"), url),
    ...more,
  });
}

test("an alert by every way: what each said of it, and where the mail went; exit code 0, and nothing is open afterwards", async () => {
  const { close, ...told } = await ways();
  await startTelling(told);

  const { code, out } = await postern("--alert");
  await close();

  expect({ code, lines: out.replace(/[0-9A-Z]{26}/g, "ID").split("\n") }).toEqual({
    code: 0,
    lines: [
      "webhook  taken: HTTP 202",
      "syslog   taken: read and closed by the server",
      expect.stringMatching(/^mail {5}delivered: ID to it@contoso\.com, delivered by scans: 250 2\.0\.0 OK /),
      expect.stringMatching(/^mail {5}delivered: ID to anna@contoso\.com, delivered by scans: 250 2\.0\.0 OK /),
      "",
    ],
  });
  expect(JSON.parse(told.posted.join(""))).toMatchObject({ alert: "test", severity: "info", state: "raised" });
  expect(told.syslog.messages).toEqual([expect.stringMatching(/^<22>1 .* alert="test" .*this is a test: .* Nothing is the matter/)]);
  expect(contoso.all("operator.acted")).toMatchObject([{ verb: "test-alert", queueIds: [expect.any(String)] }]);
  expect(
    contoso
      .all("alert.notified")
      .map(({ way }) => way)
      .toSorted(),
  ).toEqual(["mail", "syslog", "webhook"]);
  expect(contoso.all("alert.raised")).toEqual([]);
  await contoso.expectSound(true);
});

test("an alert that one way does not take and another one cannot: why, and exit code 69", async () => {
  const { close, ...told } = await ways();
  await startTelling({ ...told, syslogPort: await freePort() }, { secret: WRONG_SECRET });
  await contoso.event("upstream.held");

  const { code, out } = await postern("--alert", "--json");
  await close();

  expect(code).toBe(69);
  expect(JSON.parse(out)).toMatchObject({
    results: [
      { way: "webhook", outcome: "taken" },
      {
        way: "syslog",
        outcome: "not taken",
        text: expect.stringMatching(/^ECONNREFUSED \(127\.0\.0\.1:\d+\)$/),
        remedy: expect.any(String),
      },
      { way: "mail", outcome: "not taken", text: "no upstream that could carry it is open: scans" },
    ],
  });
});

test("an alert without a way: 78; with what belongs to a mail, or with neither: 64", async () => {
  await start();

  expect(await postern("--alert")).toMatchObject({ code: 78, err: expect.stringContaining("no webhook, syslog or mail") as unknown });
  for (const args of [[], ["--alert", "--to", ANNA], ["--alert", "--from", SCANNER]]) expect((await postern(...args)).code).toBe(64);
  expect(contoso.sim.messages()).toEqual([]);
});
