import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { PROGRAM } from "../../test/support/postern.ts";
import { NO_OPERATIONS } from "../../test/fakes/no-operations.ts";
import { NO_DEVICES } from "../../test/fakes/no-devices.ts";
import type { Admin, StatusView } from "../admin/admin.ts";
import { controlSocketPath, startAdmin } from "../admin/admin.ts";
import { PosternError } from "../mail/errors.ts";
import type { MessageView, OperatorAct, QueueEntry, QueueFilter } from "../queue/queue.ts";
import { buildProgram, main } from "./program.ts";

const ID = "01JD8ZQ3V5W6X7Y8Z9A0B1C2D3";
const ACCEPTED = Date.UTC(2026, 0, 5, 9, 0, 0);

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command as a user does; `input` goes to its standard input. */
function postern(args: readonly string[], options: { input?: string; env?: Record<string, string> } = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, ...args], { env: { ...process.env, NO_COLOR: "1", ...options.env } });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => (stdout += part));
    child.stderr.setEncoding("utf8").on("data", (part: string) => (stderr += part));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");
  });
}

const ENTRY: QueueEntry = {
  queueId: ID,
  acceptedAt: ACCEPTED,
  reversePath: "scan@contoso.com",
  recipient: "anna\u001b[31m@contoso.com",
  state: "held",
  heldBy: "upstream",
  lane: "scans",
  client: "floor",
  device: "10.20.0.7",
  sizeBytes: 4096,
  attempts: 1,
  dueAt: undefined,
  changedAt: ACCEPTED,
  cause: "authentication refused",
  reply: { code: 535, enhanced: "5.7.3", text: "Authentication unsuccessful" },
};

const MESSAGE: MessageView = {
  message: {
    queueId: ID,
    acceptedAt: ACCEPTED,
    reversePath: "scan@contoso.com",
    recipients: ["anna@contoso.com"],
    origin: { listener: "printers", client: "floor", device: "10.20.0.7" },
    kind: "mail",
    priority: "normal",
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: 4096,
    messageId: "<1@contoso.com>",
    repairs: ["date-added"],
    sessionStartedAt: ACCEPTED - 20,
  },
  entries: [ENTRY],
  attempts: [
    {
      number: 1,
      recipients: ["anna@contoso.com"],
      startedAt: ACCEPTED + 5,
      upstream: "scans",
      remote: "smtp.office365.com:587",
      stage: "auth",
      outcome: "held",
      reply: ENTRY.reply,
      remedy: "renew the secret",
      delays: { beforeQueueMs: 20, inQueueMs: 5, connectMs: 100, transmitMs: 0 },
    },
  ],
  history: [{ at: ACCEPTED + 9, what: "held", by: undefined }],
  hasContent: true,
};

const STATUS: StatusView = {
  alerts: [
    {
      alert: "upstream.held",
      subject: "scans",
      text: "upstream scans is held",
      remedy: "renew the secret",
      severity: "critical",
      since: ACCEPTED,
      toldAt: ACCEPTED,
      metAt: ACCEPTED,
    },
  ],
  version: { postern: "0.1.0", node: "24.0.0", sqlite: "3.53.0" },
  pid: 7,
  startedAt: ACCEPTED,
  ready: { ok: true, reasons: [] },
  listeners: [{ name: "printers", address: "::", port: 25, tls: "none" }],
  queue: {
    waiting: { queued: 1, delivering: 0, deferred: 2, held: 3 },
    accepted: 10,
    generated: 1,
    final: { delivered: 4, bounced: 1, expired: 0, deleted: 0 },
    contentBytes: 4096,
    oldestAcceptedAt: ACCEPTED,
    freeBytes: 2 ** 30,
  },
  upstreams: [
    {
      name: "scans",
      type: "smtp-auth",
      host: "smtp.office365.com",
      port: 587,
      waiting: 6,
      nextDueAt: undefined,
      hold: {
        since: ACCEPTED,
        cause: "authentication refused",
        remedy: "renew the secret",
        closedBy: ID,
        nextProbeAt: ACCEPTED,
        probes: 1,
      },
      trouble: undefined,
      credentialExpiresAt: undefined,
      budgets: [
        { limit: "messages_per_minute", most: 30, remaining: 12, doors: ["scans"] },
        { limit: "recipients_per_day", most: 9500, remaining: 9120, doors: ["scans", "graph"] },
      ],
      slowed: undefined,
      lastError: { at: ACCEPTED, text: "535 5.7.3 Authentication unsuccessful" },
    },
  ],
  routes: [{ name: "default", via: ["scans"] }],
  residentBytes: 80 * 2 ** 20,
};

let folder: string;
let config: string;
let acts: OperatorAct[];
let filters: QueueFilter[];
let daemon: Admin | undefined;
let ready: StatusView["ready"];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-cli-"));
  config = join(folder, "postern.yaml");
  acts = [];
  filters = [];
  ready = { ok: true, reasons: [] };
  await writeFile(
    config,
    `hostname: relay.contoso.com
data_dir: ${join(folder, "data")}
organization: { domains: [contoso.com], postmaster: it@contoso.com, time_zone: Europe/Paris }
listeners: { printers: { listen: "127.0.0.1:2525" } }
clients: { floor: { networks: [10.20.0.0/16] } }
upstreams: { inside: { type: smart-host, host: mail.contoso.com, tls: none } }
routes: [{ name: default, via: [inside] }]
`,
  );
});

afterEach(async () => {
  await daemon?.close();
  daemon = undefined;
  await rm(folder, { recursive: true });
});

/** The control socket of a daemon, with a queue that answers from the samples. */
async function startDaemon(listed: readonly QueueEntry[] = [ENTRY], acted = { recipients: 1, messages: 1 }): Promise<void> {
  daemon = await startAdmin({
    listen: [],
    controlSocket: controlSocketPath(join(folder, "data")),
    queue: {
      list: (filter) => {
        filters.push(filter);
        const { ids, lane = ENTRY.lane, client = ENTRY.client } = filter;
        return Promise.resolve((ids?.includes(ID) ?? true) && lane === ENTRY.lane && client === ENTRY.client ? [...listed] : []);
      },
      show: (id) => Promise.resolve(id === ID ? MESSAGE : undefined),
      find: () => Promise.resolve([]),
      contentRow: () => Promise.resolve(undefined),
      act: (act) => {
        acts.push(act);
        const { ids, client } = act.filter;
        if (client !== undefined || ids?.includes(ID) === false)
          return Promise.resolve({ changed: [], recipients: 0, messages: 0, busy: 0 });
        return Promise.resolve({
          changed: [{ queueId: ID, recipient: ENTRY.recipient, lane: "scans" }],
          ...acted,
          busy: 1,
        });
      },
    },
    devices: NO_DEVICES,
    ...NO_OPERATIONS,
    status: () => Promise.resolve({ ...STATUS, ready }),
    ready: () => ready,
    metricsText: () => Promise.resolve(""),
    version: STATUS.version,
    emit: () => {},
  });
}

describe("a command line that is wrong", () => {
  test.each([
    [["frob"], 64, "unknown command 'frob'"],
    [["queue", "lst"], 64, "unknown command 'lst' (Did you mean list?); see postern queue --help"],
    [["queue"], 64, "which command? see postern queue --help"],
    [["version", "--nope"], 64, "unknown option '--nope'"],
    [["version", "extra"], 64, "too many arguments"],
    [["queue", "show"], 64, "missing required argument 'id'; see postern queue show --help"],
    [["queue", "show", "short"], 64, '"short" is not a queue id'],
    [["queue", "list", "--state", "lost"], 64, "--state"],
    [["queue", "list", "--older-than", "10"], 64, "--older-than"],
    [["queue", "list", "--to", "*@contoso.com"], 64, "give a part of the address, such as @contoso.com"],
    [["queue", "list", "--device", ""], 64, "--device: expected a text, not an empty one"],
    [["queue", "delete", "--from", "", "--yes"], 64, "--from"],
    [["queue", "list", "--limit", "0"], 64, "--limit"],
    [["queue", "delete"], 64, "--all"],
    [["queue", "bounce"], 64, "--all"],
    [["queue", "hold", ID, "--all"], 64, "--all stands alone"],
    [["status", "--config", "/nowhere/postern.yaml"], 78, "/nowhere/postern.yaml"],
  ])("%j exits %i and says why", async (args, code, text) => {
    const written = vi.spyOn(process.stderr, "write").mockReturnValue(true);

    const found = await main(args);

    const stderr = written.mock.calls.map(([part]) => String(part)).join("");
    written.mockRestore();
    expect(found).toBe(code);
    expect(stderr).toContain(text);
    expect(stderr).toMatch(/^postern: [^\n]+\n$/);
  });

  test("one fault is one line", async () => {
    const outcome = await postern(["queue", "lst"]);

    expect(outcome.stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  test("a fault that nobody reads ends with its exit code all the same", async () => {
    const child = spawn(process.execPath, [PROGRAM, "queue", "lst"], { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.destroy();

    const [code] = (await once(child, "close")) as [number];

    expect(code).toBe(64);
  });

  test("without a command it points to the help and exits 64", async () => {
    expect(await postern([])).toEqual({ code: 64, stdout: "", stderr: "postern: which command? see postern --help\n" });
  });
});

describe("help and versions", () => {
  test("docs/commands.md is what the commands say of themselves", async () => {
    const pages: string[] = [];
    const add = (command: Command, names: readonly string[]): void => {
      command.configureHelp({ ...command.configureHelp(), helpWidth: 100 });
      pages.push(`## ${names.join(" ")}\n\n\`\`\`text\n${command.helpInformation().trim()}\n\`\`\``);
      for (const child of command.commands) if (child.name() !== "help") add(child, [...names, child.name()]);
    };

    add(
      buildProgram(() => {}),
      ["postern"],
    );

    await expect(`# Commands\n\n${COMMANDS_INTRODUCTION}\n\n${pages.join("\n\n")}\n`).toMatchFileSnapshot("../../docs/commands.md");
  });

  test("the version names Postern, Node and SQLite", async () => {
    const outcome = await postern(["version", "--json"]);

    expect(outcome.code).toBe(0);
    expect(JSON.parse(outcome.stdout)).toEqual({
      postern: expect.any(String),
      node: process.versions.node,
      sqlite: process.versions["sqlite"],
    });
  });
});

describe("hash-password", () => {
  test("a line of standard input becomes a hash that does not contain it", async () => {
    const outcome = await postern(["hash-password"], { input: "correct horse\n" });

    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(outcome.stdout).toMatch(/^scrypt\$/);
    expect(outcome.stdout).not.toContain("correct");
  });

  test("an empty password is a usage error", async () => {
    expect(await postern(["hash-password"], { input: "\n" })).toMatchObject({ code: 64, stderr: "postern: the password is empty\n" });
  });
});

describe("schema and check", () => {
  test("the schema is JSON", async () => {
    const outcome = await postern(["schema"]);

    expect(JSON.parse(outcome.stdout)).toMatchObject({ type: "object" });
  });

  test("check says ok, or every fault with its place and 78", async () => {
    const good = await postern(["check", "--config", config]);
    await writeFile(config, "hostnam: x\nlisteners: 5\n");
    const bad = await postern(["check"], { env: { POSTERN_CONFIG: config } });
    const json = await postern(["check", "--json", "--config", config]);

    expect(good).toMatchObject({ code: 0, stderr: "" });
    expect(bad.code).toBe(78);
    expect(bad.stderr).toMatch(/postern\.yaml:1:1 hostnam: /);
    expect(bad.stderr.trimEnd().split("\n").length).toBeGreaterThan(2);
    expect(JSON.parse(json.stdout)).toMatchObject({
      ok: false,
      findings: expect.arrayContaining([expect.objectContaining({ line: 1, column: 1 })]),
    });
  });
});

test("what the system refuses is one line and 69, not a fault of the program", async () => {
  const outcome = await postern(["demo", "--once"], { env: { TMPDIR: join(folder, "not-there") } });

  expect(outcome).toMatchObject({ code: 69, stdout: "" });
  expect(outcome.stderr).toMatch(/^postern: ENOENT: [^\n]*mkdtemp[^\n]*\n$/);
});

test("an empty POSTERN_CONFIG is none; a file that is not there is told with what makes one", async () => {
  const empty = await postern(["check"], { env: { POSTERN_CONFIG: "" } });
  const missing = await postern(["check", "--config", "/nowhere/postern.yaml"]);

  expect(`${empty.stdout}${empty.stderr}`).toContain("/etc/postern/postern.yaml");
  expect(missing.stderr).toMatch(
    /^\/nowhere\/postern\.yaml:1:1: the file does not exist: postern setup writes one, --config FILE names another\n/,
  );
});

describe("with a daemon", () => {
  test("queue list asks it for what waits, and makes addresses harmless for the terminal", async () => {
    await startDaemon();

    const outcome = await postern(["queue", "list", "--config", config, "--upstream", "scans"]);

    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(filters.at(-1)).toEqual({ lane: "scans", states: ["queued", "delivering", "deferred", "held"] });
    expect(outcome.stdout).toContain(
      `${ID}\t2026-01-05 10:00:00\t4.0 KiB\theld (upstream)\tscans\t10.20.0.7\tscan@contoso.com\tanna\\x1b[31m@contoso.com\t535 `,
    );
    expect(outcome.stdout).toContain("535 5.7.3 Authentication unsuccessful");
  });

  test.each([["list"], ["retry"], ["delete", "--yes"]])(
    "queue %s: an upstream that is nowhere is named, and nothing is done",
    async (...args) => {
      await startDaemon();

      const { code, stderr } = await postern(["queue", ...args, "--config", config, "--upstream", "insied"]);

      expect(code).toBe(64);
      expect(stderr).toBe('postern: --upstream: "insied" is neither in the configuration nor in the queue; did you mean inside?\n');
      expect(acts).toEqual([]);
    },
  );

  test.each([
    ["queue list", "in the queue"],
    ["queue hold", "in the queue"],
    ["devices list", "among the devices"],
  ])("%s: a client that is nowhere is named, and nothing is done", async (command, place) => {
    await startDaemon();

    const { code, stderr } = await postern([...command.split(" "), "--config", config, "--client", "flor"]);

    expect(code).toBe(64);
    expect(stderr).toBe(`postern: --client: "flor" is neither in the configuration nor ${place}; did you mean floor?\n`);
    expect(acts).toEqual([]);
  });

  test.each([
    ["1", "(the first 3; --limit shows more)\n"],
    ["3", "(the first 3; --limit shows more)\n"],
    ["4", ""],
  ])("queue list --limit %s of a message with three recipients says whether there is more", async (limit, said) => {
    await startDaemon([1, 2, 3].map((number) => Object.assign({}, ENTRY, { recipient: `user${number}@contoso.com` })));

    expect((await postern(["queue", "list", "--limit", limit, "--config", config])).stderr).toBe(said);
  });

  test("queue list --json gives the entries as they are", async () => {
    await startDaemon();

    const outcome = await postern(["queue", "list", "--json", "--config", config]);

    expect(JSON.parse(outcome.stdout)).toEqual({ entries: [JSON.parse(JSON.stringify(ENTRY))] });
  });

  test("queue show tells the whole story, in any case of the id", async () => {
    await startDaemon();

    const outcome = await postern(["queue", "show", ID.toLowerCase(), "--config", config]);

    expect(outcome.code).toBe(0);
    expect(outcome.stdout).toContain("10.20.0.7 (client floor, listener printers)");
    expect(outcome.stdout).toContain("1. 2026-01-05 10:00:00 by scans (smtp.office365.com:587): held at auth");
    expect(outcome.stdout).toContain("remedy: renew the secret");
  });

  test("queue show of an unknown id exits 64", async () => {
    await startDaemon();

    const outcome = await postern(["queue", "show", `${ID.slice(0, -1)}4`, "--config", config]);

    expect(outcome).toMatchObject({ code: 64, stderr: expect.stringContaining("no message has the queue id") });
  });

  test.each(["retry", "hold", "release"] as const)("queue %s acts in the operator's name", async (verb) => {
    await startDaemon();

    const outcome = await postern(["queue", verb, ID, "--config", config], { env: { SUDO_USER: "kim" } });

    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(outcome.stdout).toMatch(/^1 recipient of 1 message [a-z ]+\n1 being delivered right now: not touched\n$/);
    expect(acts).toEqual([{ verb, filter: { ids: [ID] }, by: "kim" }]);
  });

  test("a verb that changed nothing says why: an id that is none exits 64, a door that is held is tried", async () => {
    await startDaemon();
    const unknown = `${ID.slice(0, -1)}4`;

    const missing = await postern(["queue", "release", unknown, "--config", config]);
    const held = await postern(["queue", "retry", "--client", "floor", "--config", config]);
    const json = await postern(["queue", "retry", "--client", "floor", "--json", "--config", config]);

    expect(missing).toEqual({ code: 64, stdout: "", stderr: `postern: no message has the queue id ${unknown}\n` });
    expect(held).toMatchObject({ code: 0, stdout: expect.stringMatching(/^1 recipient held by upstream scans, which is tried now/) });
    expect(JSON.parse(json.stdout)).toEqual({ changed: [], recipients: 0, messages: 0, busy: 0 });
  });

  test("of several queue ids the one that is none is named, and the others are acted on", async () => {
    await startDaemon();
    const unknown = `${ID.slice(0, -1)}4`;

    const outcome = await postern(["queue", "hold", ID, unknown, "--config", config]);

    expect(outcome).toMatchObject({ code: 64, stderr: `postern: no message has the queue id ${unknown}\n` });
    expect(outcome.stdout).toMatch(/^1 recipient of 1 message held\n/);
    expect(acts).toMatchObject([{ verb: "hold", filter: { ids: [ID, unknown] } }]);
  });

  test.each(["bounce", "delete"] as const)("queue %s off a terminal needs --yes", async (verb) => {
    await startDaemon();

    const refused = await postern(["queue", verb, "--state", "held", "--config", config]);
    const done = await postern(["queue", verb, "--state", "held", "--yes", "--json", "--config", config]);

    expect(refused).toMatchObject({ code: 64, stderr: expect.stringContaining("--yes") });
    expect(JSON.parse(done.stdout)).toMatchObject({ busy: 1 });
    expect(acts).toMatchObject([{ verb, filter: { states: ["held"] } }]);
  });

  test("a retry of more than an answer names counts all, and tells of what it left", async () => {
    const waits = { state: "deferred", heldBy: undefined } as const;
    await startDaemon(
      [
        { ...ENTRY, recipient: "ben@contoso.com" },
        { ...ENTRY, ...waits, recipient: "carol@contoso.com" },
      ],
      {
        recipients: 1500,
        messages: 1200,
      },
    );

    const outcome = await postern(["queue", "retry", "--all", "--config", config]);

    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(outcome.stdout).toMatch(
      /^1500 recipients of 1200 messages due now\n1 recipient held by upstream scans, .*\n1 being delivered right now: not touched\n$/,
    );
  });

  test("a verb takes as many queue ids as a command line holds", async () => {
    await startDaemon();
    const unknown = Array.from({ length: 900 }, (_, at) => `${ID.slice(0, -3)}${String(at).padStart(3, "0")}`);

    const outcome = await postern(["queue", "retry", ...unknown, ID, "--config", config]);
    const none = await postern(["queue", "hold", ...unknown, "--config", config]);

    expect(outcome).toMatchObject({ code: 64, stdout: expect.stringContaining("due now") });
    expect(filters.map(({ ids }) => ids?.length)).toEqual([400, 400, 101, 400, 400, 100]);
    for (const { code, stderr } of [outcome, none])
      expect({ code, stderr }).toEqual({
        code: 64,
        stderr: expect.stringMatching(/^postern: no message has the queue id (\w{26}, ){4}\w{26} or of the 895 others\n$/),
      });
  });

  test("queue bounce says how many it ended, and how many it could not touch", async () => {
    await startDaemon();

    const outcome = await postern(["queue", "bounce", ID, "--yes", "--config", config]);

    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(outcome.stdout).toBe("1 recipient of 1 message bounced\n1 being delivered right now: not touched\n");
  });

  test("queue delete --all --yes means everything", async () => {
    await startDaemon();

    expect(await postern(["queue", "delete", "--all", "--yes", "--config", config])).toMatchObject({ code: 0 });
    expect(acts).toMatchObject([{ verb: "delete", filter: {} }]);
  });

  test("status shows doors with their remedy", async () => {
    await startDaemon();

    const outcome = await postern(["status", "--config", config]);

    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(outcome.stdout).toContain("6 (1 queued, 0 delivering, 2 deferred, 3 held)");
    expect(outcome.stdout).toContain("[::]:25");
    expect(outcome.stdout).toMatch(/^scans\tsmtp-auth\tsmtp\.office365\.com:587\t6\theld$/m);
    expect(outcome.stdout).toMatch(/^ {2}held for .*: authentication refused; tried again /m);
    expect(outcome.stdout.match(/renew the secret/g), "said by the alert, and not again").toHaveLength(1);
    expect(outcome.stdout).toMatch(/^scans\tmessages a minute\t12 of 30$/m);
    expect(outcome.stdout).toMatch(/^scans, graph\trecipients a day\t9120 of 9500$/m);
  });

  test("upstreams says of each why it does not send, what to do, what is left, and what went wrong last", async () => {
    await startDaemon();

    const [shown, json] = [await postern(["upstreams", "--config", config]), await postern(["upstreams", "--json", "--config", config])];

    expect(shown).toMatchObject({ code: 0, stderr: "" });
    expect(shown.stdout).toMatch(/^scans\tsmtp-auth\tsmtp\.office365\.com:587\theld\t6\t$/m);
    expect(shown.stdout).toContain("authentication refused; tried again");
    expect(shown.stdout).toContain("  remedy: renew the secret");
    expect(shown.stdout).toMatch(/last error .*: 535 5\.7\.3 Authentication unsuccessful/);
    expect(shown.stdout).toMatch(/^scans\tmessages a minute\t12 of 30$/m);
    expect(JSON.parse(json.stdout)).toMatchObject({ upstreams: [{ name: "scans", state: "held", waiting: 6 }] });
  });

  test.each([[["status", "--watch"]], [["upstreams", "--watch", "--json"]]])("%j without a terminal is a fault of usage", async (args) => {
    expect(await postern([...args, "--config", config])).toMatchObject({ code: 64, stderr: expect.stringContaining("--watch") });
  });

  test("status of one that is not ready exits 75", async () => {
    await startDaemon();
    ready = { ok: false, reasons: ["the queue does not commit"] };

    const outcome = await postern(["status", "--json", "--config", config]);

    expect(outcome.code).toBe(75);
    expect(JSON.parse(outcome.stdout)).toMatchObject({ ready: { ok: false } });
  });
});

describe("without a daemon", () => {
  test.each([[["status"]], [["test", "--to", "anna@contoso.com"]], [["test", "--alert"]], [["reload"]], [["events"]]])(
    "%j says how to start it",
    async (args) => {
      const { code, stderr } = await postern([...args, "--config", config]);

      expect(code).toBe(69);
      expect(stderr).toMatch(
        /^postern: the daemon is not running [^\n]*: start it with systemctl start postern or postern run(; [^\n]*)?\n$/,
      );
    },
  );

  test("a queue that was never there is no fault of the disk", async () => {
    for (const args of [
      ["queue", "list"],
      ["trace", "9:14"],
    ]) {
      const { code, stderr } = await postern([...args, "--config", config]);

      expect(code).toBe(69);
      expect(stderr).toContain("the relay was never started with this data_dir");
      expect(stderr).not.toContain("ENOENT");
    }
  });

  test.each([[["status"]], [["queue", "retry", ID]], [["queue", "bounce", ID, "--yes"]], [["queue", "delete", ID, "--yes"]]])(
    "%j exits 69 and says so",
    async (args) => {
      const outcome = await postern([...args, "--config", config]);

      expect(outcome).toMatchObject({ code: 69, stdout: "" });
      expect(outcome.stderr).toContain("the daemon is not running (no answer on ");
      // Nothing ever ran there: what runs may still have the data_dir of before.
      expect(outcome.stderr).toContain("; where data_dir was changed in the file, restart the one that runs");
      expect(outcome.stderr.trimEnd().split("\n")).toHaveLength(1);
    },
  );
});

test("every fault that a command can end with has an exit code of sysexits", () => {
  const codes = (["E_USAGE", "E_UNAVAILABLE", "E_TEMPORARY", "E_POLICY", "E_CONFIG"] as const).map(
    (code) => new PosternError(code, "").exitCode,
  );

  expect(codes).toEqual([64, 69, 75, 77, 78]);
});

const COMMANDS_INTRODUCTION = `\`postern COMMAND [--config FILE] [--json]\`; the configuration is \`$POSTERN_CONFIG\`, else \`/etc/postern/postern.yaml\`. Exit codes: 0 ok,
64 usage, 69 unavailable (the daemon is not running), 70 an unexpected fault, 75 temporary (\`status\`: not ready), 77 refused by policy, 78 configuration.
Faults are one line on stderr; \`POSTERN_DEBUG=1\` adds the stack. This page is written from \`src/cli/program.ts\`.

On a terminal lists are tables, in colour unless \`NO_COLOR\` is set. Into a pipe or a file a list has the same head and one line a row, with a tab between columns and an
empty field where there is nothing: \`postern queue list | awk -F'\\t' '$5 == "scans" { print $1 }'\`; \`column -ts $'\\t'\` makes it a table again. Programs do better with
\`--json\`, which has whole values and times in milliseconds since the epoch.`;
