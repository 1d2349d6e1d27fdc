/**
 * What of the devices outlives the process, in `data_dir/receive`: `allowed-devices.json`, what operators decided, on disk before the command is
 * answered; `devices.json`, what was seen, written now and then, so that a crash may cost the last moments of it.
 */
import { readFile, rename } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { describeError } from "../mail/errors.ts";
import type { Clock } from "../platform/clock.ts";
import { ensurePrivateDirectory, writeFileAtomic } from "../platform/files.ts";
import type { AllowedDevice } from "./admissions.ts";
import { VERDICTS, type Device } from "./device.ts";

const ALLOWED_FILE = "allowed-devices.json";
const SEEN_FILE = "devices.json";
/** Between two writings of what was seen. */
const WRITE_MS = 10_000;

type Warn = (text: string) => void;

export class DeviceStore {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #warn: Warn;
  readonly #seen: () => readonly Device[];
  #cancel: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();
  #warned = false;
  #closed = false;

  /**
   * @param directory - `data_dir`/receive; made when it is missing
   * @param seen - what is to be written
   * @param warn - told about files that cannot be read or written, once for writing
   */
  constructor(directory: string, seen: () => readonly Device[], clock: Clock, warn: Warn) {
    this.#directory = directory;
    this.#seen = seen;
    this.#clock = clock;
    this.#warn = warn;
  }

  /** Makes the folder where it is missing, and reads. */
  async load(): Promise<{ allowed: AllowedDevice[]; seen: Device[] }> {
    await ensurePrivateDirectory(this.#directory);
    return await this.read();
  }

  /** What the files hold; empty where there are none. */
  async read(): Promise<{ allowed: AllowedDevice[]; seen: Device[] }> {
    return { allowed: await this.#read(ALLOWED_FILE, readAllowed), seen: await this.#read(SEEN_FILE, readDevice) };
  }

  /** Something was seen; written within `WRITE_MS`. Costs nothing while a writing is due anyway. */
  changed(): void {
    if (this.#cancel !== undefined || this.#closed) return;
    this.#cancel = this.#clock.after(WRITE_MS, () => {
      this.#cancel = undefined;
      void this.#writeSeen();
    });
  }

  /** @throws what the file system throws; then nothing was decided */
  async writeAllowed(allowed: readonly AllowedDevice[]): Promise<void> {
    await this.#inOrder(() => this.#write(ALLOWED_FILE, allowed));
  }

  /** Writes what was seen since the last time. */
  async close(): Promise<void> {
    this.#closed = true;
    const due = this.#cancel !== undefined;
    this.#cancel?.();
    this.#cancel = undefined;
    if (due) await this.#writeSeen();
    await this.#writing;
  }

  async #writeSeen(): Promise<void> {
    try {
      await this.#inOrder(() => this.#write(SEEN_FILE, this.#seen()));
      this.#warned = false;
    } catch (error) {
      if (!this.#warned) this.#warn(`${join(this.#directory, SEEN_FILE)} cannot be written: ${describeError(error)}`);
      this.#warned = true;
    }
  }

  async #inOrder(write: () => Promise<void>): Promise<void> {
    const turn = this.#writing.then(write);
    this.#writing = turn.catch(() => undefined);
    await turn;
  }

  async #write(file: string, devices: readonly unknown[]): Promise<void> {
    await writeFileAtomic(join(this.#directory, file), `${JSON.stringify({ version: 1, devices })}\n`);
  }

  /** A file that makes no sense is put aside and told of, never overwritten. */
  async #read<T>(file: string, read: (value: unknown) => T | undefined): Promise<T[]> {
    const path = join(this.#directory, file);
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") this.#warn(`${path} cannot be read: ${describeError(error)}`);
      return [];
    }
    try {
      const content = JSON.parse(text) as { version?: unknown; devices?: unknown };
      if (content.version !== 1 || !Array.isArray(content.devices)) throw new Error("it is not a list of devices");
      return content.devices.flatMap((value: unknown) => read(value) ?? []);
    } catch (error) {
      await rename(path, `${path}.damaged`).catch(() => undefined);
      this.#warn(`${path} is damaged (${describeError(error)}) and was put aside as ${file}.damaged`);
      return [];
    }
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readAllowed(value: unknown): AllowedDevice | undefined {
  if (!isRecord(value)) return undefined;
  const { address, client, since, by } = value;
  if (typeof address !== "string" || isIP(address) === 0 || typeof client !== "string") return undefined;
  return { address, client, since: typeof since === "number" ? since : 0, by: typeof by === "string" ? by : "" };
}

/** The file is ours: what matters for its bounds and its order is looked at, the rest is shown as it is. */
function readDevice(value: unknown): Device | undefined {
  if (!isRecord(value)) return undefined;
  const { address, verdict, firstSeen, lastSeen } = value;
  if (typeof address !== "string" || isIP(address) === 0) return undefined;
  if (!(VERDICTS as readonly unknown[]).includes(verdict) || typeof firstSeen !== "number" || typeof lastSeen !== "number")
    return undefined;
  const lists = ["names", "listeners", "users", "senders", "lastRefusals", "quirks"].every((key) => Array.isArray(value[key]));
  const numbers = ["sessions", "messages", "recipients", "bytes", "refusals"].every((key) => typeof value[key] === "number");
  return lists && numbers && isRecord(value["tls"]) ? (value as unknown as Device) : undefined;
}
