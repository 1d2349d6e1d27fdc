import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, describe, expect, test } from "vitest";
import type { EventName, EventOf, PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { EVENTS } from "./events.ts";
import type { LogOptions } from "./log.ts";
import type { GaugeSnapshot } from "./metrics.ts";
import { METRICS } from "./metrics.ts";
import type { Observer } from "./observer.ts";
import { createObserver } from "./observer.ts";

const ID = "01JD8ZQ3V5W6X7Y8Z9A0B1C2D3";
const reply = { code: 550, enhanced: "5.1.1", text: "User unknown\nreally" };
const mail = { client: "floor", device: "10.20.0.7", reversePath: "scans@contoso.com", messageId: "<1@mfp7>", recipients: 3 };
const about = { queueId: ID, recipient: "anna@contoso.com", upstream: "scans" };
const ofMail = { ...about, mail };
const delays = { beforeQueueMs: 12.4, inQueueMs: 3, connectMs: 250, transmitMs: 900 };

/** One of each kind; a kind without a sample does not compile. */
const SAMPLES: { readonly [N in EventName]: EventOf<N> } = {
  "daemon.started": { type: "daemon.started", version: "0.1.0", listeners: ["printers"] },
  "daemon.stopping": { type: "daemon.stopping", reason: "SIGTERM" },
  "daemon.stopped": { type: "daemon.stopped" },
  "listener.closed": { type: "listener.closed", listener: "printers", address: "::", port: 25 },
  "listener.bound": { type: "listener.bound", listener: "printers", address: "::", port: 25, tls: "none" },
  "session.opened": {
    type: "session.opened",
    session: "s1",
    listener: "printers",
    client: "floor",
    device: "10.20.0.7",
    implicitTls: false,
    admission: "network",
  },
  "session.secured": {
    type: "session.secured",
    session: "s1",
    listener: "printers",
    device: "10.20.0.7",
    tls: "TLSv1.3",
    cipher: "TLS_AES_256_GCM_SHA384",
  },
  "certificate.reloaded": { type: "certificate.reloaded", listener: "printers", expiresAt: Date.UTC(2027, 0, 1) },
  "session.auth.succeeded": {
    type: "session.auth.succeeded",
    session: "s1",
    listener: "submission",
    device: "10.30.1.5",
    client: "erp",
    user: "sap",
    mechanism: "PLAIN",
  },
  "session.auth.failed": {
    type: "session.auth.failed",
    session: "s1",
    listener: "submission",
    device: "10.30.1.5",
    user: "sap",
    mechanism: "LOGIN",
    cause: "wrong password",
    failures: 2,
    reply: { code: 535, enhanced: "5.7.8", text: "Authentication credentials invalid" },
    remedy: "correct it in the device",
  },
  "session.closed": {
    type: "session.closed",
    session: "s1",
    listener: "printers",
    device: "10.20.0.7",
    tls: "TLSv1.3",
    helo: "NPI65E56",
    triedAuth: false,
    messages: 0,
    durationMs: 15,
  },
  "session.rejected": {
    type: "session.rejected",
    session: "s1",
    listener: "printers",
    device: "10.99.0.1",
    reason: "address",
    reply: { code: 554, enhanced: "5.7.1", text: "10.99.0.1 is not allowed to relay" },
    detail: "10.99.0.1",
    remedy: "add it to the networks of a client",
  },
  "device.allowed": { type: "device.allowed", device: "10.20.3.7", client: "floor", operator: "root" },
  "device.forgotten": { type: "device.forgotten", device: "10.20.3.7", operator: "root" },
  "session.repaired": {
    type: "session.repaired",
    session: "s1",
    listener: "printers",
    device: "10.20.0.7",
    quirk: "space-after-from",
    detail: "MAIL FROM: <a@b>",
  },
  "device.repaired": {
    type: "device.repaired",
    device: "10.20.0.7",
    client: "floor",
    quirk: "missing-brackets",
    detail: "MAIL FROM:scan@contoso.com",
    times: 1,
  },
  "session.unfinished": {
    type: "session.unfinished",
    session: "s1",
    listener: "printers",
    client: "floor",
    device: "10.20.0.7",
    reversePath: "scan@contoso.com",
    recipients: ["anna@contoso.com"],
    octets: 4096,
    cause: "nothing came for 300 s",
    remedy: "look at the device",
  },
  "message.repeated": {
    type: "message.repeated",
    queueId: ID,
    session: "s1",
    listener: "printers",
    client: "floor",
    device: "10.20.0.7",
    reversePath: "scan@contoso.com",
    recipients: ["anna@contoso.com"],
  },
  "message.accepted": {
    type: "message.accepted",
    queueId: ID,
    session: "s1",
    origin: { listener: "printers", client: "floor", device: "10.20.0.7", helo: "MFP01", tls: "TLSv1.2", user: "sap" },
    reversePath: "scan@contoso.com",
    originalSender: "root@localhost",
    recipients: ["anna@contoso.com", "bo@contoso.com"],
    sizeBytes: 4096,
    messageId: "<1@contoso.com>",
    subject: "Num\u00e9risation \u{1f5a8}",
    repairs: ["date-added"],
    acceptSeconds: 0.004,
  },
  "message.generated": { type: "message.generated", queueId: ID, about: ID, recipients: ["it@contoso.com"], sizeBytes: 900 },
  "attempt.finished": {
    type: "attempt.finished",
    queueId: ID,
    attempt: 1,
    upstream: "scans",
    outcome: "deferred",
    recipients: 2,
    remote: "smtp.office365.com:587",
    tls: "TLSv1.3",
    reusedConnection: true,
    stage: "final",
    reply,
    fault: "connection reset",
    upstreamId: "AM0PR01",
    remedy: "none needed",
    note: "looked up",
    delays,
  },
  "recipient.delivered": {
    type: "recipient.delivered",
    ...ofMail,
    reply: { code: 250, enhanced: "2.0.0", text: "OK" },
    latencySeconds: 1.23456,
  },
  "recipient.deferred": {
    type: "recipient.deferred",
    ...ofMail,
    reply,
    nextAttemptAt: Date.UTC(2026, 0, 5, 9, 1),
    cause: "busy",
    remedy: "wait",
  },
  "recipient.moved": {
    type: "recipient.moved",
    queueId: ID,
    recipient: "anna@contoso.com",
    from: "scans",
    to: "graph",
    reply,
    cause: "upstream scans is held",
  },
  "recipient.held": { type: "recipient.held", ...ofMail, reply, heldBy: "upstream", cause: "authentication", remedy: "renew the secret" },
  "recipient.bounced": { type: "recipient.bounced", ...ofMail, reply, cause: "unknown recipient", remedy: "correct the address" },
  "recipient.expired": { type: "recipient.expired", ...ofMail, reply, cause: "too old" },
  "recipient.deleted": { type: "recipient.deleted", ...about, operator: "root" },
  "operator.acted": { type: "operator.acted", verb: "delete", queueIds: [ID], recipients: 1, operator: "root", declared: true },
  "token.added": { type: "token.added", token: "grafana", role: "viewer", expiresAt: Date.UTC(2026, 3, 1), operator: "root" },
  "token.revoked": { type: "token.revoked", token: "grafana", operator: "root" },
  "api.refused": {
    type: "api.refused",
    address: "10.20.0.7",
    reason: "role",
    method: "POST",
    path: "/api/v1/reload",
    token: "grafana",
    needed: "administrator",
    failures: 0,
  },
  "upstream.connected": { type: "upstream.connected", upstream: "scans", remote: "smtp.office365.com:587", tls: "TLSv1.3", connectMs: 80 },
  "upstream.connect.failed": {
    type: "upstream.connect.failed",
    upstream: "scans",
    stage: "connect",
    cause: "ECONNREFUSED",
    reply,
    remedy: "check the firewall",
  },
  "upstream.auth.succeeded": { type: "upstream.auth.succeeded", upstream: "scans", mailbox: "scanner@contoso.com" },
  "upstream.auth.failed": {
    type: "upstream.auth.failed",
    upstream: "scans",
    mailbox: "scanner@contoso.com",
    stage: "token",
    cause: "AADSTS7000222",
    reply,
    fault: { code: "AADSTS7000222", detail: "expired" },
    remedy: "renew the secret",
  },
  "upstream.replied": { type: "upstream.replied", upstream: "scans", stage: "rcpt", reply },
  "upstream.throttled": { type: "upstream.throttled", upstream: "scans", waitMs: 5000, reply },
  "upstream.held": {
    type: "upstream.held",
    upstream: "scans",
    cause: "authentication",
    remedy: "renew the secret",
    nextProbeAt: Date.UTC(2026, 0, 5, 9, 5),
  },
  "upstream.released": { type: "upstream.released", upstream: "scans", heldMs: 60_000, recipients: 4 },
  "clock.stepped": { type: "clock.stepped", byMs: -7_200_000 },
  "upstream.paused": { type: "upstream.paused", upstream: "scans", cause: "unreachable", resumeAt: Date.UTC(2026, 0, 5, 9, 2) },
  "queue.begun": { type: "queue.begun", path: "/var/lib/postern/queue/queue.db", found: "an empty file" },
  "queue.opened": { type: "queue.opened", path: "/var/lib/postern/queue/queue.db", schemaVersion: 1, waiting: 3 },
  "queue.recovered": { type: "queue.recovered", ambiguousRecipients: 1, sweptContent: 2 },
  "queue.committed": { type: "queue.committed", seconds: 0.0007, operations: 5 },
  "queue.failed": { type: "queue.failed", cause: "disk I/O error", damaged: false },
  "queue.full": { type: "queue.full", freeBytes: 1000, floorBytes: 2000 },
  "queue.corrupt": { type: "queue.corrupt", queueId: ID, cause: "checksum of row 3" },
  "content.dropped": { type: "content.dropped", messages: 3, early: true },
  "history.pruned": { type: "history.pruned", messages: 10 },
  "config.warned": { type: "config.warned", place: "postern.yaml:7:3", key: "organization", text: "expires soon" },
  "config.reloaded": { type: "config.reloaded", changed: ["clients.floor.networks"], restart: ["hostname"], operator: "kim" },
  "config.reload.failed": {
    type: "config.reload.failed",
    faults: ["postern.yaml:7:3 clients.floor: unknown key netwrks; did you mean networks?"],
    operator: "kim",
  },
  "alert.raised": { type: "alert.raised", alert: "upstream-held", subject: "scans", text: "scans is held", remedy: "renew the secret" },
  "alert.repeated": {
    type: "alert.repeated",
    alert: "upstream.held",
    subject: "scans",
    text: "scans is held",
    remedy: "renew the secret",
    severity: "critical",
    since: 0,
  },
  "alert.cleared": { type: "alert.cleared", alert: "upstream-held", subject: "scans" },
  "alert.notified": { type: "alert.notified", way: "webhook", alert: "upstream.held", subject: "scans", state: "raised" },
  "alert.notify.failed": {
    type: "alert.notify.failed",
    way: "webhook",
    cause: "HTTP 404",
    remedy: "x",
    failures: 2,
    waiting: 1,
    isRepeated: false,
  },
  "alert.notify.dropped": {
    type: "alert.notify.dropped",
    way: "syslog",
    alert: "upstream.held",
    subject: "scans",
    state: "raised",
    cause: "too old",
  },
  "alert.file.failed": { type: "alert.file.failed", cause: "no space" },
  "transcript.failed": { type: "transcript.failed", cause: "no space" },
  "alert.look.failed": { type: "alert.look.failed", cause: "no figures" },
};

const SNAPSHOT: GaugeSnapshot = {
  waiting: { queued: 1, delivering: 2, deferred: 3, held: 4 },
  contentBytes: 5000,
  oldestAcceptedAt: Date.UTC(2026, 0, 5, 8, 59),
  freeBytes: 1e9,
  ready: true,
  upstreams: [
    { name: "scans", up: true, credentialExpiresAt: Date.UTC(2026, 0, 6, 9) },
    { name: "onprem", up: false, credentialExpiresAt: undefined },
  ],
  devices: { allowed: 12, learned: 1, refused: 3 },
  certificates: [{ name: "submission", expiresAt: Date.UTC(2026, 0, 5, 8) }],
  budgets: [
    { budget: "scans+graph", limit: "recipients_per_day", remaining: 9120 },
    { budget: "scans", limit: "messages_per_minute", remaining: 12 },
  ],
};

const observers: Observer[] = [];

function startObserver(log: Partial<LogOptions> = {}): { observer: Observer; lines: string[]; clock: ManualClock } {
  const lines: string[] = [];
  const clock = new ManualClock();
  const observer = createObserver({
    log: { level: "debug", pretty: false, destination: { write: (line) => void lines.push(line) }, ...log },
    clock,
  });
  observers.push(observer);
  return { observer, lines, clock };
}

afterEach(() => {
  for (const observer of observers.splice(0)) observer.close();
});

describe("log lines", () => {
  test("a device that is refused again and again is told of twenty times a minute, and counted each time", async () => {
    const { observer, lines, clock } = startObserver();

    for (let at = 0; at < 1000; at += 1) observer.emit(SAMPLES["session.rejected"]);
    clock.advance(60_000);
    observer.emit(SAMPLES["session.rejected"]);

    expect(lines).toHaveLength(21);
    expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ event: "session.rejected", leftOut: 980 });
    expect(await observer.metricsText()).toMatch(/postern_smtp_rejects_total\{[^}]*\} 1001\n/);
  });

  test("every event has its line, or is only counted", () => {
    const { observer, lines } = startObserver();

    for (const event of Object.values(SAMPLES)) observer.emit(event);

    const logged = lines.map((line) => (JSON.parse(line) as { event: string }).event);
    const countedOnly = Object.entries(EVENTS).flatMap(([name, definition]) => (definition.level === "none" ? [name] : []));
    expect(logged).toEqual(Object.keys(SAMPLES).filter((name) => !countedOnly.includes(name)));
    expect(countedOnly).toEqual(["upstream.replied", "queue.committed"]);
  });

  test("an attempt has the verbatim reply, the enhanced code, the upstream's id and the four delays", () => {
    const { observer, lines } = startObserver();

    observer.emit(SAMPLES["attempt.finished"]);

    expect(lines).toEqual([
      `{"level":"warn","time":"2026-01-05T09:00:00.000Z","event":"attempt.finished","queueId":"${ID}","attempt":1,"upstream":"scans",` +
        `"outcome":"deferred","recipients":2,"remote":"smtp.office365.com:587","tls":"TLSv1.3","reusedConnection":true,"stage":"final",` +
        `"reply":"550 5.1.1 User unknown really","enhanced":"5.1.1","fault":"connection reset","upstreamId":"AM0PR01","remedy":"none needed","note":"looked up",` +
        `"beforeQueueMs":12,"inQueueMs":3,"connectMs":250,"transmitMs":900}\n`,
    ]);
  });

  test("a bounce has the enhanced code of the reply, and where none came the one of its report", () => {
    const { observer, lines } = startObserver();

    observer.emit({ ...SAMPLES["recipient.bounced"], status: "5.0.0" });
    observer.emit({ ...SAMPLES["recipient.bounced"], reply: undefined, status: "5.6.7" });

    expect(lines.map((line) => (JSON.parse(line) as { enhanced?: string }).enhanced)).toEqual(["5.1.1", "5.6.7"]);
  });

  test("every line about a message names its queue id", () => {
    const { observer, lines } = startObserver();

    for (const event of Object.values(SAMPLES)) if ("queueId" in event) observer.emit(event);

    expect(lines.length).toBeGreaterThan(7);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ queueId: ID });
  });

  test("lines are ASCII, and read back as what was meant", () => {
    const { observer, lines } = startObserver();
    const subject = "Num\u00e9risation \u{1f5a8} \u001b[31m\u007f\u2028\n";

    observer.emit({ ...SAMPLES["message.accepted"], subject });

    expect(lines[0]).toMatch(/^[ -~]+\n$/);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ subject });
  });

  test("a line without a subject has no word of one", () => {
    const { observer, lines } = startObserver();

    observer.emit({ ...SAMPLES["message.accepted"], subject: undefined });

    expect(lines[0]).not.toContain("subject");
  });

  test("a level leaves out what is below it", () => {
    const { observer, lines } = startObserver({ level: "error" });

    for (const event of Object.values(SAMPLES)) observer.emit(event);

    expect(new Set(lines.map((line) => (JSON.parse(line) as { level: string }).level))).toEqual(new Set(["error"]));
  });

  test("the readable form is one line with the same values", () => {
    const { observer, lines } = startObserver({ pretty: true });

    observer.emit(SAMPLES["session.rejected"]);
    observer.emit(SAMPLES["message.accepted"]);

    expect(lines).toEqual([
      '09:00:00.000 WARN  session.rejected session=s1 listener=printers device=10.99.0.1 reason=address reply="554 5.7.1 10.99.0.1 is not allowed to relay" enhanced=5.7.1 detail=10.99.0.1 remedy="add it to the networks of a client"\n',
      `09:00:00.000 INFO  message.accepted queueId=${ID} session=s1 listener=printers client=floor device=10.20.0.7 user=sap helo=MFP01 tls=TLSv1.2 reversePath=scan@contoso.com originalSender=root@localhost recipients=anna@contoso.com,bo@contoso.com sizeBytes=4096 messageId=<1@contoso.com> subject="Num\\u00e9risation \\ud83d\\udda8" repairs=date-added\n`,
    ]);
  });

  test("an event that cannot be written is reported instead of thrown", () => {
    const { observer, lines } = startObserver();

    observer.emit({ type: "no.such.event" } as unknown as PosternEvent);
    observer.emit({ ...SAMPLES["recipient.deferred"], nextAttemptAt: Number.NaN });

    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { level: "error", event: "observe.failed", what: "no.such.event" },
      { level: "error", event: "observe.failed", what: "recipient.deferred" },
    ]);
  });

  test("a crash is written out with its stack before the process ends", async () => {
    const module = new URL("./observer.ts", import.meta.url).href;
    const script = `
      import { createObserver } from ${JSON.stringify(module)};
      import { systemClock } from ${JSON.stringify(new URL("../platform/clock.ts", import.meta.url).href)};
      const observer = createObserver({ log: { level: "info", destination: 1 }, clock: systemClock });
      observer.emit({ type: "daemon.stopping", reason: "before" });
      observer.fatal(new Error("invariant broken"));
      observer.emit({ type: "daemon.stopped" });
      process.exit(3);`;

    const output = await new Promise<{ code: unknown; stdout: string }>((resolve) => {
      execFile(process.execPath, ["--input-type=module", "-e", script], (error, stdout) => resolve({ code: error?.code, stdout }));
    });

    expect(output.code).toBe(3);
    const lines = output.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { event: string; stack?: string });
    expect(lines.map((line) => line.event)).toEqual(["daemon.stopping", "daemon.crashed", "daemon.stopped"]);
    expect(lines[1]?.stack).toContain("invariant broken");
  });

  test("a warning is written with all before it although the process gets no further, as when it is killed", async () => {
    const module = new URL("./observer.ts", import.meta.url).href;
    // Stands still after the next turn: no timer comes.
    const script = `
      import { createObserver } from ${JSON.stringify(module)};
      import { systemClock } from ${JSON.stringify(new URL("../platform/clock.ts", import.meta.url).href)};
      const observer = createObserver({ log: { level: "info", destination: 1 }, clock: systemClock });
      observer.emit({ type: "queue.opened", path: "queue.db", schemaVersion: 1, waiting: 2 });
      observer.emit({ type: "queue.recovered", ambiguousRecipients: 2, sweptContent: 0 });
      setImmediate(() => setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)));`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    const exit = once(child, "exit");
    const events: string[] = [];

    for await (const line of createInterface({ input: child.stdout })) {
      events.push((JSON.parse(line) as { event: string }).event);
      if (events.length === 2) child.kill("SIGKILL");
    }

    expect(events).toEqual(["queue.opened", "queue.recovered"]);
    await exit;
  });

  test("lines to a file are there after a flush", async () => {
    const folder = await mkdtemp(join(tmpdir(), "postern-log-"));
    const { observer } = startObserver({ destination: join(folder, "log.json") });

    observer.emit(SAMPLES["daemon.stopped"]);
    await new Promise((resolve) => setImmediate(resolve));
    observer.close();

    expect(await readFile(join(folder, "log.json"), "utf8")).toContain('"event":"daemon.stopped"');
    await rm(folder, { recursive: true });
  });
});

describe("metrics", () => {
  test("events are counted under exactly the documented names and labels", async () => {
    const { observer } = startObserver();
    observer.watch(() => Promise.resolve(SNAPSHOT));
    for (const event of Object.values(SAMPLES)) observer.emit(event);

    const text = await observer.metricsText();

    const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#") && !line.includes("_bucket"));
    expect(samples.toSorted()).toMatchInlineSnapshot(`
      [
        "postern_accept_duration_seconds_count 1",
        "postern_accept_duration_seconds_sum 0.004",
        "postern_alert_notices_total{way="syslog",result="dropped"} 1",
        "postern_alert_notices_total{way="webhook",result="failed"} 1",
        "postern_alert_notices_total{way="webhook",result="taken"} 1",
        "postern_api_refusals_total{reason="role"} 1",
        "postern_budget_remaining{budget="scans",limit="messages_per_minute"} 12",
        "postern_budget_remaining{budget="scans+graph",limit="recipients_per_day"} 9120",
        "postern_certificate_expiry_seconds{name="submission"} -3600",
        "postern_credential_expiry_seconds{upstream="scans"} 86400",
        "postern_delivery_attempts_total{upstream="scans",outcome="deferred"} 1",
        "postern_delivery_latency_seconds_count 1",
        "postern_delivery_latency_seconds_sum 1.23456",
        "postern_devices{verdict="allowed"} 12",
        "postern_devices{verdict="learned"} 1",
        "postern_devices{verdict="refused"} 3",
        "postern_messages_received_total{listener="printers",client="floor"} 1",
        "postern_queue_bytes 5000",
        "postern_queue_oldest_seconds 60",
        "postern_queue_recipients{state="deferred"} 3",
        "postern_queue_recipients{state="delivering"} 2",
        "postern_queue_recipients{state="held"} 4",
        "postern_queue_recipients{state="queued"} 1",
        "postern_ready 1",
        "postern_recipients_accepted_total{listener="printers",client="floor"} 2",
        "postern_recipients_generated_total 1",
        "postern_recipients_total{state="bounced",upstream="scans"} 1",
        "postern_recipients_total{state="deleted",upstream="scans"} 1",
        "postern_recipients_total{state="delivered",upstream="scans"} 1",
        "postern_recipients_total{state="expired",upstream="scans"} 1",
        "postern_smtp_auth_total{listener="submission",result="failed"} 1",
        "postern_smtp_auth_total{listener="submission",result="ok"} 1",
        "postern_smtp_rejects_total{listener="printers",reason="address"} 1",
        "postern_smtp_rejects_total{listener="submission",reason="credentials"} 1",
        "postern_smtp_sessions_total{listener="printers",tls="TLSv1.3"} 1",
        "postern_spool_commit_seconds_count 1",
        "postern_spool_commit_seconds_sum 0.0007",
        "postern_spool_free_bytes 1000000000",
        "postern_upstream_auth_total{upstream="scans",result="failed"} 1",
        "postern_upstream_auth_total{upstream="scans",result="ok"} 1",
        "postern_upstream_connects_total{upstream="scans",result="failed"} 1",
        "postern_upstream_connects_total{upstream="scans",result="ok"} 1",
        "postern_upstream_replies_total{upstream="scans",code="550",enhanced="5.1.1"} 1",
        "postern_upstream_up{upstream="onprem"} 0",
        "postern_upstream_up{upstream="scans"} 1",
      ]
    `);
  });

  test("nothing that a sender or recipient wrote becomes a label", async () => {
    const { observer } = startObserver();
    for (const event of Object.values(SAMPLES)) observer.emit(event);

    const text = await observer.metricsText();

    expect(text).not.toMatch(/@|10\.20\.0\.7/);
    for (const { labels } of Object.values(METRICS))
      expect(["device", "recipient", "sender", "address"].filter((name) => (labels as readonly string[]).includes(name))).toEqual([]);
  });

  test("codes that a hostile server makes up do not fill the memory", async () => {
    const { observer } = startObserver();

    for (let i = 0; i < 5000; i++) {
      observer.emit({
        type: "upstream.replied",
        upstream: "scans",
        stage: "final",
        reply: { code: 200 + (i % 400), enhanced: `5.${i % 1000}.${i % 7}`, text: "" },
      });
    }

    const replies = (await observer.metricsText()).split("\n").filter((line) => line.startsWith("postern_upstream_replies_total{"));
    expect(replies.length).toBeLessThanOrEqual(2001);
    expect(replies.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0)).toBe(5000);
  });

  test("without anything to read from, ready is 0 and the queue's gauges are absent", async () => {
    const { observer, lines } = startObserver();
    observer.watch(() => Promise.reject(new Error("the queue is closed")));

    const text = await observer.metricsText();

    expect(text).toContain("postern_ready 0\n");
    expect(text).not.toMatch(/^postern_(queue|spool_free|upstream_up)/m);
    expect(lines[0]).toContain("the queue is closed");
  });

  test("an upstream that is no longer there leaves the gauges", async () => {
    const { observer } = startObserver();
    observer.watch(() => Promise.resolve(SNAPSHOT));
    await observer.metricsText();
    observer.watch(() => Promise.resolve({ ...SNAPSHOT, upstreams: [] }));

    expect(await observer.metricsText()).not.toContain("postern_upstream_up{");
  });

  test("promtool accepts the exposition", async ({ skip }) => {
    const { observer } = startObserver();
    observer.watch(() => Promise.resolve(SNAPSHOT));
    for (const event of Object.values(SAMPLES)) observer.emit(event);
    const text = await observer.metricsText();

    const verdict = await new Promise<{ missing: boolean; code: unknown; output: string }>((resolve) => {
      const child = execFile("promtool", ["check", "metrics"], (error, stdout, stderr) => {
        resolve({ missing: (error as NodeJS.ErrnoException | null)?.code === "ENOENT", code: error?.code ?? 0, output: stdout + stderr });
      });
      child.stdin?.on("error", () => {});
      child.stdin?.end(text);
    });

    skip(verdict.missing, "promtool is not installed");
    expect(verdict).toEqual({ missing: false, code: 0, output: "" });
  });
});

describe("documentation", () => {
  test("docs/metrics.md lists every metric", async () => {
    const rows = Object.entries(METRICS).map(([name, metric]) => {
      const labels = metric.labels.length === 0 ? "" : metric.labels.map((label) => `\`${label}\``).join(", ");
      return `| \`postern_${name}\` | ${metric.type} | ${labels} | ${metric.help} |`;
    });

    const page = ["# Metrics", "", METRICS_INTRODUCTION, "", "| name | type | labels | meaning |", "|---|---|---|---|", ...rows, ""].join(
      "\n",
    );

    await expect(page).toMatchFileSnapshot("../../docs/metrics.md");
  });

  test("docs/monitoring.md names lines that are there for what administrators look for, on their level and with those values", async () => {
    const page = await readFile(new URL("../../docs/monitoring.md", import.meta.url), "utf8");
    const rows = [...page.matchAll(/^\| (e-mail|authentication|connection) (\w+) \| `([a-z.]+)` \| (\w+) \| (.*) \|$/gm)];
    const { observer, lines } = startObserver();

    const wrong = rows.flatMap(([, , , name = "", level = "", values = ""]) => {
      lines.length = 0;
      observer.emit(SAMPLES[name as EventName]);
      const line = JSON.parse(lines[0] ?? "{}") as Record<string, unknown>;
      const missing = [...values.matchAll(/`(\w+)`/g)].map(([, value = ""]) => value).filter((value) => !(value in line));
      return line["event"] === name && line["level"] === level && missing.length === 0 ? [] : [{ name, line, missing }];
    });

    expect(wrong).toEqual([]);
    expect(rows.map(([, what, how]) => `${what} ${how}`)).toEqual([
      "e-mail sent",
      "e-mail failed",
      "authentication succeeded",
      "authentication failed",
      "connection succeeded",
      "connection failed",
    ]);
  });

  test("docs/logs.md lists every event with its values", async () => {
    const { observer, lines } = startObserver();
    const rows = Object.entries(SAMPLES).map(([name, event]) => {
      lines.length = 0;
      observer.emit(event);
      const definition = EVENTS[name as EventName];
      const line = JSON.parse(lines[0] ?? "{}") as Record<string, unknown>;
      const fields = Object.keys(line).filter((key) => !["level", "time", "event"].includes(key));
      const level =
        typeof definition.level === "function" ? `${String(line["level"])}*` : definition.level === "none" ? "-" : definition.level;
      return `| \`${name}\` | ${level} | ${definition.when} | ${fields.map((field) => `\`${field}\``).join(" ")} |`;
    });

    const page = ["# Log lines", "", LOGS_INTRODUCTION, "", "| event | level | when | values |", "|---|---|---|---|", ...rows, ""].join(
      "\n",
    );

    await expect(page).toMatchFileSnapshot("../../docs/logs.md");
  });
});

const METRICS_INTRODUCTION = `Served as Prometheus text on \`/metrics\` of \`admin.listen\` and \`metrics.listen\`. Names and labels are stable; no label carries an address.
Counters start at zero with the process; gauges are read when they are asked for. While the queue cannot be read, its gauges are absent and
\`postern_ready\` is 0. This page is written from the definitions in \`src/observe/metrics.ts\`.`;

const LOGS_INTRODUCTION = `One JSON object a line on standard output, ASCII only; on a terminal a readable line with the same values. Every line has \`level\`
(error, warn, info, debug; \`log.level\` leaves out what is below), \`time\` (UTC) and \`event\`. Values that are not known are left out. \`reply\` is what a server
said, on one line, \`enhanced\` its enhanced status code. \`subject\` is only there with \`log.subjects\`. A level with a star depends on the
values: a session that brought a message closes on debug, an attempt that delivered is info. Events with level - are only counted.
Lines on debug and info are gathered for a tenth of a second; warnings and errors are written at once, with all before them, so a process that is
killed leaves what was the matter.
E-mail sent, e-mail failed, authentication and connection, succeeded and failed: [monitoring.md](monitoring.md#sent-failed-connected-signed-in) says which lines those are.
Of \`session.rejected\` at most 20 lines a minute are written for each device and reason, of \`api.refused\` for each address and reason; the next one tells with \`leftOut\` how many were not.

Three lines are no events of the mail: \`log.dropped\` (\`lines\` that nobody read in time were thrown away), \`observe.failed\` (an event could not be
written) and, on level fatal, \`daemon.crashed\` (with \`stack\`). This page is written from the definitions in \`src/observe/events.ts\`.`;
