/**
 * Reloading: the file is read and checked by a process of its own, and what is right is taken up while mail flows; what is wrong changes nothing.
 *
 * Crash here, what is lost? Nothing: the file is what it is, and the next start reads it.
 */
import { isDeepStrictEqual } from "node:util";
import type { FileValues, ReadApart } from "../config/apart.ts";
import type { Config } from "../config/config.ts";
import { formatFinding, type Finding } from "../config/finding.ts";
import { describeError, PosternError } from "../mail/errors.ts";
import type { Emit, PosternEvent } from "../mail/events.ts";
import { isProgramReplaced, PROGRAM_REPLACED } from "../platform/program.ts";

/** The configuration file of a running daemon. */
export interface ConfigFileInForce {
  readonly path: string;
  /** What it held when it was read last. */
  readonly values: FileValues;
  /** Reads it again. */
  readonly read: (inForce: FileValues) => Promise<ReadApart>;
}

/** What came of a reload. */
export type ReloadOutcome =
  | {
      readonly ok: true;
      /** Keys whose new values are in force. */
      readonly changed: readonly string[];
      /** Keys whose values in the file need a restart. */
      readonly restart: readonly string[];
      /** What is not right and forbids nothing, one line each. */
      readonly warnings: readonly string[];
    }
  /** Nothing has changed. One line for each fault. */
  | { readonly ok: false; readonly faults: readonly string[] };

export interface ReloaderOptions {
  /** undefined: the configuration is not from a file. */
  readonly file: ConfigFileInForce | undefined;
  /** Takes a configuration up, and tells of keys that are what they were, but whose files are not. When it rejects, nothing has changed. */
  readonly apply: (config: Config) => Promise<readonly string[]>;
  readonly emit: Emit;
  /** Told before and after each reload. */
  readonly begin?: (() => Promise<void>) | undefined;
  readonly end?: (() => Promise<void>) | undefined;
}

const ALERT = "config.reload";
const REPAIR = "Repair the file (postern check shows every fault), then: postern reload";

export class Reloader {
  readonly #options: ReloaderOptions;
  #values: FileValues | undefined;
  /** Settles when the reload that was asked for last is over. */
  #last: Promise<unknown> = Promise.resolve();
  #alerted = false;
  #stopped = false;

  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.#values = options.file?.values;
  }

  /**
   * Reads the file and takes it up; after those that were asked for before.
   *
   * @param by - the operator; undefined for a signal
   * @throws PosternError E_UNAVAILABLE where there is no file, or the daemon stops
   */
  reload(by?: string): Promise<ReloadOutcome> {
    const reloaded = this.#last.then(() => this.#reload(by));
    this.#last = reloaded.catch(() => undefined);
    return reloaded;
  }

  /** No more reloads. Resolves when the one under way is over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#last;
  }

  async #reload(by: string | undefined): Promise<ReloadOutcome> {
    const { file, begin, end } = this.#options;
    if (this.#stopped) throw new PosternError("E_UNAVAILABLE", "the daemon is stopping");
    if (file === undefined || this.#values === undefined)
      throw new PosternError("E_UNAVAILABLE", "this relay does not run on a configuration file");
    await begin?.();
    try {
      return await this.#readAndApply(file, this.#values, by);
    } finally {
      await end?.();
    }
  }

  async #readAndApply(file: ConfigFileInForce, inForce: FileValues, by: string | undefined): Promise<ReloadOutcome> {
    const { apply, emit } = this.#options;
    // What reads the file is of the new version: what it makes of it may be nothing that this one understands. That is no fault of the file's: the
    // alert `program.replaced` tells of it.
    if (isProgramReplaced()) {
      const faults = [`${PROGRAM_REPLACED.text}: restart it`];
      emit({ type: "config.reload.failed", faults, operator: by });
      return { ok: false, faults };
    }
    try {
      const read = await file.read(inForce);
      if (!read.ok) return this.#failed(file.path, read.findings.map(formatFinding), by);
      const files = await apply(read.config);
      this.#values = read.values;
      for (const finding of read.findings) emit(configWarned(finding));
      const { restart, findings } = read;
      const changed = [...read.changed, ...files];
      emit({ type: "config.reloaded", changed, restart, operator: by });
      if (this.#alerted) emit({ type: "alert.cleared", alert: ALERT, subject: file.path });
      this.#alerted = false;
      return { ok: true, changed, restart, warnings: findings.map(formatFinding) };
    } catch (error) {
      return this.#failed(file.path, [`${file.path}: ${describeError(error)}`], by);
    }
  }

  #failed(path: string, faults: readonly string[], by: string | undefined): ReloadOutcome {
    const { emit } = this.#options;
    emit({ type: "config.reload.failed", faults, operator: by });
    const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : "";
    const text = `the configuration was not reloaded, the one before stays in force: ${faults[0] ?? ""}${more}`;
    emit({
      type: "alert.raised",
      alert: ALERT,
      subject: path,
      text,
      remedy: REPAIR,
    });
    this.#alerted = true;
    return { ok: false, faults };
  }
}

/** The event for something in the file that forbids neither start nor reload. */
export function configWarned({ file, line, column, key, message, upstream }: Finding): PosternEvent {
  return { type: "config.warned", place: `${file}:${line}:${column}`, key, text: message, upstream };
}

/** Doors of a configuration that are other ones in the next: their own keys, and what they are made of besides. */
export function changedUpstreams(before: Config, after: Config): Set<string> {
  const domainsChanged = !isDeepStrictEqual(before.organization.domains, after.organization.domains);
  const changed = new Set<string>();
  for (const [name, upstream] of Object.entries(after.upstreams)) {
    const usesDomains = upstream.type === "graph" && upstream.mailbox === "from";
    if (!isDeepStrictEqual(before.upstreams[name], upstream) || (usesDomains && domainsChanged)) changed.add(name);
  }
  return changed;
}

/** Whether mail that waits may have another way out by the next configuration. */
export function routesDiffer(before: Config, after: Config): boolean {
  return (
    !isDeepStrictEqual(before.routes, after.routes) ||
    !isDeepStrictEqual(before.upstreams, after.upstreams) ||
    !isDeepStrictEqual(before.organization.domains, after.organization.domains)
  );
}
