/**
 * The certificates of the listeners, that of the admin listener among them: read at the start, read again when their files change, shown without a restart. A pair that does not fit is
 * never shown: the one before stays, and an alert says so. An expired one is shown, with an alert: most devices do not look at the date,
 * and none would send in clear what it was told to send in TLS.
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Config, ListenerConfig } from "../config/config.ts";
import { secretReader } from "../config/secret.ts";
import { describeError, PosternError } from "../mail/errors.ts";
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import { lastDayOf } from "../platform/zone.ts";
import { ensureSelfMadeCertificate, listenerAddresses } from "../receive/certificate.ts";
import type { CertificatePair, Certificates, Receiver } from "../receive/receiver.ts";
import { certificatesExpireAt, certificatesFault } from "../receive/tls.ts";

/** How often files are looked at. Polled: watching loses files that are replaced through links, as certificate tools do. */
const LOOK_MS = 30_000;
/** From here on a self-made one is made anew; as in receive/certificate.ts. */
const RENEW_BEFORE_MS = 30 * 24 * 3_600_000;

/** The certificate of `admin.listen` among those of the listeners. No listener can have this name. */
export const ADMIN_CERTIFICATE = "admin.tls";

/** What the listeners present, for the metrics and the alerts. */
export interface ListenerCertificate {
  /** The listener's name, or `ADMIN_CERTIFICATE`. */
  readonly name: string;
  /** ms since the epoch; of several the first */
  readonly expiresAt: number;
}

interface Entry {
  readonly name: string;
  readonly selfMade: boolean;
  readonly files: readonly string[];
  readonly read: () => Promise<Certificates>;
  certificates: Certificates;
  expiresAt: number;
  /** What the files looked like when they were last read. */
  seen: string;
  /** They did not fit the last time. A tool may be between two files: only the second time is an alarm. */
  faulty: boolean;
  invalidAlert: boolean;
  expiredAlert: boolean;
}

export class ListenerCertificates {
  readonly #entries = new Map<string, Entry>();
  readonly #emit: Emit;
  readonly #clock: Clock;
  #receiver: Pick<Receiver, "present"> | undefined;
  #before: ListenerCertificates | undefined;
  #cancel: (() => void) | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  private constructor(emit: Emit, clock: Clock) {
    this.#emit = emit;
    this.#clock = clock;
  }

  /**
   * Reads, or makes, what the listeners need.
   *
   * @param before - at a reload, those in force: what they raised is taken back where it is over
   * @throws PosternError E_CONFIG for a certificate that is missing or does not fit its key: never silently plain
   */
  static async read(config: Config, emit: Emit, clock: Clock, before?: ListenerCertificates): Promise<ListenerCertificates> {
    const all = new ListenerCertificates(emit, clock);
    if (before !== undefined) all.#before = before;
    for (const [name, listener] of Object.entries(config.listeners)) {
      if (needsCertificate(name, config)) all.#entries.set(name, await readEntry(name, listener, config, clock));
    }
    const { tls } = config.admin;
    if (tls !== undefined) {
      const read = async (): Promise<Certificates> => [await readPair(tls.certificate, tls.key)];
      all.#entries.set(ADMIN_CERTIFICATE, await readFiles(ADMIN_CERTIFICATE, [tls.certificate, tls.key], false, read));
    }
    return all;
  }

  of(listener: string): Certificates | undefined {
    return this.#entries.get(listener)?.certificates;
  }

  list(): readonly ListenerCertificate[] {
    return [...this.#entries.values()].map(({ name, expiresAt }) => ({ name, expiresAt }));
  }

  /** Watches from now on. */
  start(receiver: Pick<Receiver, "present">): void {
    this.#receiver = receiver;
    this.#takeBack();
    for (const entry of this.#entries.values()) this.#date(entry);
    this.#plan();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#looking;
  }

  /** What is in force now was read just now, and fits; whether it has expired is still to be seen. */
  #takeBack(): void {
    for (const old of this.#before === undefined ? [] : this.#before.#entries.values()) {
      if (old.invalidAlert) this.#emit({ type: "alert.cleared", alert: "certificate.invalid", subject: old.name });
      const entry = this.#entries.get(old.name);
      if (entry !== undefined) entry.expiredAlert = old.expiredAlert;
      else if (old.expiredAlert) this.#emit({ type: "alert.cleared", alert: "certificate.expired", subject: old.name });
    }
    this.#before = undefined;
  }

  #plan(): void {
    if (!this.#stopped) this.#cancel = this.#clock.after(LOOK_MS, () => void this.look());
  }

  /** Looks at all files now. Never rejects. */
  async look(): Promise<void> {
    this.#cancel?.();
    this.#looking ??= this.#lookAtAll().finally(() => {
      this.#looking = undefined;
      this.#plan();
    });
    await this.#looking;
  }

  async #lookAtAll(): Promise<void> {
    for (const entry of this.#entries.values()) await this.#lookAt(entry);
  }

  async #lookAt(entry: Entry): Promise<void> {
    const seen = await looksOf(entry.files);
    const renew = entry.selfMade && entry.expiresAt - this.#clock.now() < RENEW_BEFORE_MS;
    if (seen !== entry.seen || entry.faulty || renew) {
      try {
        const certificates = await readFitting(entry.read);
        if (!same(certificates, entry.certificates)) this.#replace(entry, certificates);
        entry.faulty = false;
        if (entry.invalidAlert) this.#emit({ type: "alert.cleared", alert: "certificate.invalid", subject: entry.name });
        entry.invalidAlert = false;
      } catch (error) {
        if (entry.faulty && !entry.invalidAlert) this.#alarm(entry, error);
        entry.faulty = true;
      }
      entry.seen = seen;
    }
    this.#date(entry);
  }

  #replace(entry: Entry, certificates: Certificates): void {
    const expiresAt = certificatesExpireAt(certificates);
    this.#receiver?.present(entry.name, certificates);
    entry.certificates = certificates;
    entry.expiresAt = expiresAt;
    this.#emit({ type: "certificate.reloaded", listener: entry.name, expiresAt });
  }

  #alarm(entry: Entry, error: unknown): void {
    entry.invalidAlert = true;
    this.#emit({
      type: "alert.raised",
      alert: "certificate.invalid",
      subject: entry.name,
      text: `the new certificate of ${whose(entry)} is not used: ${describeError(error)}`,
      remedy: "put a certificate and its key there that belong together; the one before is still shown",
    });
  }

  #date(entry: Entry): void {
    const expired = entry.expiresAt <= this.#clock.now();
    if (expired === entry.expiredAlert) return;
    entry.expiredAlert = expired;
    const about = { alert: "certificate.expired", subject: entry.name };
    if (!expired) this.#emit({ type: "alert.cleared", ...about });
    else
      this.#emit({
        type: "alert.raised",
        ...about,
        text: `the certificate of ${whose(entry)} expired on ${lastDayOf(entry.expiresAt)}; it is still shown`,
        remedy: "renew it and put it in the same files: it is taken from there without a restart",
      });
  }
}

function whose({ name }: Pick<Entry, "name">): string {
  return name === ADMIN_CERTIFICATE ? "the admin listener" : `listener ${name}`;
}

/** TLS is spoken there, by everybody or by a client of its own. */
function needsCertificate(name: string, config: Config): boolean {
  if (config.listeners[name]?.tls.mode !== "none") return true;
  return Object.values(config.clients).some(
    ({ listeners, tls }) => tls?.mode !== undefined && tls.mode !== "none" && listeners.includes(name),
  );
}

async function readEntry(name: string, listener: ListenerConfig, config: Config, clock: Clock): Promise<Entry> {
  const { certificate, key, pfx, passphrase } = listener.tls;
  const files = [...certificate, ...key, ...(pfx === undefined ? [] : [pfx])];
  const own = files.length === 0;
  const read =
    pfx !== undefined
      ? async (): Promise<Certificates> => [
          { pfx: await readFile(pfx), passphrase: passphrase === undefined ? undefined : await secretReader(passphrase)() },
        ]
      : certificate.length > 0
        ? (): Promise<Certificates> => Promise.all(certificate.map((file, index) => readPair(file, key[index] ?? "")))
        : (): Promise<Certificates> => selfMade(config, clock);
  return await readFiles(name, files, own, read);
}

async function readFiles(name: string, files: readonly string[], selfMade: boolean, read: Entry["read"]): Promise<Entry> {
  try {
    const seen = await looksOf(files);
    const certificates = await readFitting(read);
    const expiresAt = certificatesExpireAt(certificates);
    return { name, selfMade, files, read, certificates, expiresAt, seen, faulty: false, invalidAlert: false, expiredAlert: false };
  } catch (error) {
    throw new PosternError("E_CONFIG", `${whose({ name })}: ${describeError(error)}`, { cause: error });
  }
}

async function readFitting(read: () => Promise<Certificates>): Promise<Certificates> {
  const certificates = await read();
  const fault = certificatesFault(certificates);
  if (fault !== undefined) throw new Error(fault);
  return certificates;
}

async function readPair(certificate: string, key: string): Promise<CertificatePair> {
  return { certPem: await readFile(certificate, "latin1"), keyPem: await readFile(key, "latin1") };
}

/** One for all listeners; made anew in time before it expires. */
function selfMade(config: Config, clock: Clock): Promise<Certificates> {
  const hosts = Object.values(config.listeners).flatMap((listener) => listener.listen.map(({ host }) => host));
  return ensureSelfMadeCertificate(join(config.data_dir, "receive"), config.hostname, listenerAddresses(hosts), clock);
}

/** Changes when a file does; a file that is not there looks different from one that is. */
async function looksOf(files: readonly string[]): Promise<string> {
  const looks = await Promise.all(
    files.map(async (file) => {
      try {
        const { ino, size, mtimeMs, ctimeMs } = await stat(file);
        return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
      } catch {
        return "not there";
      }
    }),
  );
  return looks.join("\n");
}

function same(a: Certificates, b: Certificates): boolean {
  return fingerprint(a) === fingerprint(b);
}

function fingerprint(certificates: Certificates): string {
  return ("certPem" in certificates ? [certificates] : certificates)
    .map((one) => ("pfx" in one ? one.pfx.toString("base64") : `${one.certPem}\n${one.keyPem}`))
    .join("\n");
}
