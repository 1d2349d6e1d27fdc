/**
 * What of the alerts outlives the process: `data_dir/deliver/alerts.json`, what is open and what is still owed, by each way of telling. Replaced
 * whole at each change. A crash between a change and its writing costs nothing: what is the matter is met and told again.
 */
import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { describeError } from "../../mail/errors.ts";
import { ensurePrivateDirectory, writeFileAtomic } from "../../platform/files.ts";
import type { OpenAlert, Owed, Way } from "./alert.ts";
import { SEVERITIES, WAYS } from "./alert.ts";

const FILE = "alerts.json";

/** What the file holds. */
export interface Kept {
  readonly open: readonly OpenAlert[];
  readonly owed: Readonly<Partial<Record<Way, readonly Owed[]>>>;
}

const NOTHING: Kept = { open: [], owed: {} };

export class AlertStore {
  readonly #directory: string;
  readonly #content: () => Kept;
  readonly #warn: (text: string) => void;
  #writing: Promise<void> | undefined;
  #changed = false;
  #warned = false;

  /**
   * @param directory - `data_dir`/deliver; made when it is missing
   * @param content - what is to be written
   * @param warn - told about a file that cannot be read or written, once until it can
   */
  constructor(directory: string, content: () => Kept, warn: (text: string) => void) {
    this.#directory = directory;
    this.#content = content;
    this.#warn = warn;
  }

  /** Empty where there is no file. One that makes no sense is put aside and told of. Never rejects: alerts must not stop mail. */
  async load(): Promise<Kept> {
    const path = join(this.#directory, FILE);
    let text: string;
    try {
      await ensurePrivateDirectory(this.#directory);
      text = await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") this.#warn(`${path} cannot be read: ${describeError(error)}`);
      return NOTHING;
    }
    try {
      const { version, open, owed, owedBy } = JSON.parse(text) as Partial<Record<string, unknown>>;
      if (version !== 1 || !Array.isArray(open) || !Array.isArray(owed)) throw new Error("it is not a list of alerts");
      const others = isRecord(owedBy) ? owedBy : {};
      const ways = WAYS.map((way): [Way, Owed[]] => {
        const list: unknown = way === "webhook" ? owed : others[way];
        return [way, Array.isArray(list) ? list.filter(isOwed) : []];
      });
      return { open: open.filter(isAlert), owed: Object.fromEntries(ways) };
    } catch (error) {
      await rename(path, `${path}.damaged`).catch(() => undefined);
      this.#warn(`${path} is damaged (${describeError(error)}) and was put aside as ${FILE}.damaged`);
      return NOTHING;
    }
  }

  /** Writes soon; changes meanwhile go into one further writing. */
  changed(): void {
    this.#changed = true;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Resolves when everything is written, as far as that works. */
  async settled(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#changed) {
      this.#changed = false;
      try {
        const { open, owed } = this.#content();
        // The webhook's apart, where the version that knew no other way looks for it.
        const { webhook = [], ...owedBy } = owed;
        const text = JSON.stringify({ version: 1, open, owed: webhook, owedBy });
        await writeFileAtomic(join(this.#directory, FILE), `${text}\n`);
        this.#warned = false;
      } catch (error) {
        if (!this.#warned) this.#warn(`${join(this.#directory, FILE)} cannot be written: ${describeError(error)}`);
        this.#warned = true;
      }
    }
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isAlert(value: unknown): value is OpenAlert {
  if (!isRecord(value)) return false;
  const { alert, subject, text, remedy, severity, since, toldAt, metAt } = value;
  return (
    [alert, subject, text].every((one) => typeof one === "string") &&
    (remedy === undefined || typeof remedy === "string") &&
    (SEVERITIES as readonly unknown[]).includes(severity) &&
    [since, toldAt, metAt].every((one) => typeof one === "number")
  );
}

function isOwed(value: unknown): value is Owed {
  if (!isRecord(value) || typeof value["id"] !== "string" || typeof value["attempts"] !== "number") return false;
  const { notice } = value;
  return (
    isRecord(notice) &&
    ["raised", "repeated", "cleared"].includes(String(notice["state"])) &&
    typeof notice["at"] === "number" &&
    isAlert(notice["alert"])
  );
}
