/** `postern doctor`: looks at everything that mail depends on, and says what is wrong and what repairs it. */
import { controlSocketPath } from "../admin/control-socket.ts";
import { checkConfig } from "../config/check.ts";
import type { Config } from "../config/config.ts";
import { distinct, formatFinding, type Finding } from "../config/finding.ts";
import { loadConfig } from "../config/load.ts";
import { buildDoctor } from "../daemon/doctor.ts";
import { buildUpstreams } from "../daemon/doors.ts";
import type { DoctorFinding, DoctorItem, Verdict } from "../doctor/finding.ts";
import { describeError, PosternError, POSTERN_ERRORS } from "../mail/errors.ts";
import { formatReply } from "../mail/reply.ts";
import { systemClock } from "../platform/clock.ts";
import { isUnavailable, openControlClient, type ControlClient } from "./control-client.ts";
import type { GlobalOptions } from "./options.ts";
import { harmless, paint, print, printJson } from "./table.ts";
import { sendTest, type FollowedTest } from "./test.ts";

/** As the command line gives them. */
export interface DoctorCommandOptions {
  readonly send?: string;
}

/** So long one test mail is followed. */
const SEND_MS = 60_000;

/** 0 without a fault, 69 when something cannot be used, 78 when the configuration is at fault. */
export async function doctorCommand(options: GlobalOptions, { send }: DoctorCommandOptions): Promise<number> {
  const report = new Report(options.json);
  const loaded = await loadConfig(options.config);
  if (!loaded.ok) {
    for (const finding of loaded.faults) report.add(ofConfiguration(finding));
    return report.end(undefined);
  }
  const { config } = loaded;
  report.doing("the configuration");
  const findings = distinct([...loaded.warnings, ...(await checkConfig(config, loaded.source))]);
  if (findings.every(({ severity }) => severity === "warning"))
    report.add({ id: "configuration", subject: "configuration", verdict: "ok", evidence: `${options.config} and the files that it names` });
  for (const finding of findings) if (!isToldByTheLook(finding)) report.add(ofConfiguration(finding));

  const client = openControlClient(controlSocketPath(config.data_dir));
  const from = await examineFrom(config, client, report);
  if (send !== undefined) await sendByEach(config, client, send, from, report);
  return report.end(from);
}

/** The look at an upstream says when its credential ends, and knows better whether it still works: once is enough. */
function isToldByTheLook({ severity, key, upstream }: Finding): boolean {
  return severity === "warning" && upstream !== undefined && key.endsWith(".credential.expires");
}

type Place = "relay" | "command";

/** Looks from inside the daemon; where none runs, from here. */
async function examineFrom(config: Config, client: ControlClient, report: Report): Promise<Place> {
  try {
    for await (const item of client.lines("/api/v1/doctor", {})) {
      const fault = (item as { error?: { message: string } }).error;
      if (fault !== undefined) throw new PosternError("E_TEMPORARY", fault.message);
      report.take(item as DoctorItem);
    }
    return "relay";
  } catch (error) {
    if (!isUnavailable(error)) throw error;
  }
  report.note(
    "the relay is not running: looked at from this command, as this user, without the secrets that systemd passes to the service",
  );
  const upstreams = await buildUpstreams(
    config,
    () => undefined,
    systemClock,
    (upstream, text) =>
      report.add({ id: "files", subject: upstream, verdict: "warning", evidence: text, remedy: "postern check names the file" }),
  );
  try {
    const doctor = buildDoctor({ config: () => config, upstreams, certificates: () => [], refusal: () => undefined, clock: systemClock });
    for await (const item of doctor.examine(new AbortController().signal)) report.take(item);
  } finally {
    await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
  }
  return "command";
}

async function sendByEach(config: Config, client: ControlClient, to: string, from: Place, report: Report): Promise<void> {
  for (const name of Object.keys(config.upstreams)) {
    const about = { id: "mail", subject: name } as const;
    if (from === "command") {
      report.add({
        ...about,
        verdict: "not-tested",
        evidence: "a test mail goes through the running relay",
        remedy: "systemctl start postern",
      });
      continue;
    }
    report.doing(`a test mail by ${name}`);
    try {
      report.add(ofMail(name, await sendTest(client, { to, upstream: name }, SEND_MS, undefined)));
    } catch (error) {
      report.add({ ...about, verdict: "not-tested", evidence: describeError(error) });
    }
  }
}

function ofMail(name: string, { outcome, view, door, sent }: FollowedTest): DoctorFinding {
  const [entry] = view.entries;
  const attempt = view.attempts.at(-1);
  const reply = entry?.reply ?? attempt?.reply ?? door?.hold?.reply;
  const words = reply === undefined ? (entry?.cause ?? attempt?.fault ?? door?.hold?.cause ?? entry?.state ?? outcome) : formatReply(reply);
  const evidence = `to ${sent.to}: ${outcome === "delivered" ? "" : `${entry?.state ?? outcome}: `}${words} (${sent.queueId})`;
  const about = { id: "mail", subject: name, evidence } as const;
  if (outcome === "delivered") return { ...about, verdict: "ok" };
  const remedy = attempt?.remedy ?? door?.hold?.remedy ?? `postern queue show ${sent.queueId}`;
  return { ...about, verdict: entry?.state === "deferred" ? "warning" : "fault", remedy };
}

/** A line of `check` as the doctor says it. */
function ofConfiguration(finding: Finding): DoctorFinding {
  const { upstream, severity, key, line, file, message } = finding;
  const about = {
    id: "configuration",
    subject: upstream ?? "configuration",
    evidence: formatFinding(finding).replace(": warning: ", ": "),
  } as const;
  // What only the service can see is for the daemon's own look to prove.
  if (severity === "warning" && message.includes("not checkable here")) return { ...about, verdict: "not-tested" };
  const where = `${key === "" ? "the file" : key} (line ${line} of ${file})`;
  if (severity === "warning") return { ...about, verdict: "warning", remedy: `Look at ${where}: ${message}` };
  return { ...about, verdict: "fault", remedy: `Correct ${where}: ${message}; then postern check` };
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

const WORDS: Readonly<Record<Verdict, string>> = { ok: "ok", warning: "warning", fault: "FAULT", "not-tested": "not tested" };
const COLOURS = { ok: "green", warning: "yellow", fault: "red", "not-tested": "cyan" } as const;
const WIDTH = 10;

/** Prints each finding as it comes, and at the end what to do. */
class Report {
  readonly #json: boolean;
  readonly #findings: DoctorFinding[] = [];
  readonly #notes: string[] = [];
  /** A line on the terminal that is still to be overwritten. */
  #pending = false;

  constructor(json: boolean) {
    this.#json = json;
  }

  take(item: DoctorItem): void {
    if ("doing" in item) this.doing(item.doing);
    else this.add(item.finding);
  }

  /** What is being looked at; on a terminal only, until the next line. */
  doing(what: string): void {
    if (this.#json || !process.stdout.isTTY) return;
    this.#clear();
    process.stdout.write(paint("dim", `... ${harmless(what, 70)}`));
    this.#pending = true;
  }

  add(finding: DoctorFinding): void {
    this.#findings.push(finding);
    if (this.#json) return;
    this.#clear();
    const { verdict, subject, id, evidence } = finding;
    const word = paint(COLOURS[verdict], WORDS[verdict].padEnd(WIDTH));
    print(`${word} ${paint("bold", harmless(subject, 80))}${subject === id ? "" : ` ${id}`}: ${harmless(evidence, 1000)}`);
  }

  note(text: string): void {
    this.#notes.push(text);
    if (this.#json) return;
    this.#clear();
    print(`note: ${text}`);
  }

  /** @returns the exit code */
  end(from: Place | undefined): number {
    // What the file says of an upstream comes after what the upstream itself says: that is nearer to the remedy.
    const isOfDoor = ({ id, subject }: DoctorFinding): boolean => id === "configuration" && subject !== id;
    const found = this.#findings.filter(({ verdict }) => verdict === "fault");
    const faults = [...found.filter((finding) => !isOfDoor(finding)), ...found.filter(isOfDoor)];
    const exitCode = faults.some(({ id }) => id === "configuration")
      ? POSTERN_ERRORS.E_CONFIG.exitCode
      : faults.length > 0
        ? POSTERN_ERRORS.E_UNAVAILABLE.exitCode
        : 0;
    if (this.#json) {
      const ordered = [...faults, ...this.#findings.filter(({ verdict }) => verdict !== "fault")];
      printJson({ ok: faults.length === 0, from: from ?? null, notes: this.#notes, findings: ordered });
      return exitCode;
    }
    this.#clear();
    const count = (verdict: Verdict): number => this.#findings.filter((finding) => finding.verdict === verdict).length;
    const todo = [...faults, ...this.#findings.filter(({ verdict }) => verdict === "warning")];
    if (todo.length > 0) print("", paint("bold", "What to do"));
    for (const [index, { subject, id, verdict, remedy }] of todo.entries())
      print(
        `${index + 1}. ${paint(COLOURS[verdict], WORDS[verdict])} ${harmless(subject, 80)}${subject === id ? "" : ` ${id}`}: ${harmless(remedy ?? "see above", 2000)}`,
      );
    print(
      "",
      `${count("ok")} ok, ${plural(count("warning"), "warning")}, ${plural(faults.length, "fault")}, ${count("not-tested")} not tested`,
    );
    return exitCode;
  }

  #clear(): void {
    if (this.#pending) process.stdout.write("\r\u001b[2K");
    this.#pending = false;
  }
}
