/**
 * The certificate that a connector knows us by: read from its files, checked against its key, read again when they change. A replacement that
 * does not fit leaves the old one in use; it is often only half of a pair that is being written. So does one that is out of its time while the
 * old one still is within its own.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import tls from "node:tls";
import { describeError } from "../../mail/errors.ts";
import type { Emit } from "../../mail/events.ts";
import type { Clock } from "../../platform/clock.ts";
import { tlsObjection } from "../../platform/tls-pair.ts";
import { trustOptions } from "../../platform/trust.ts";
import type { Refusal } from "../upstream.ts";
import type { TlsPolicy } from "./dial.ts";
import { faultAt } from "./fault.ts";

/** A certificate with its chain, leaf first, and its key, PEM. */
export interface CertificatePair {
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly passphrase?: string | undefined;
}

/** Where it is, and who is told. */
export interface ClientCertificateOptions {
  /** The upstream, for alerts. */
  readonly name: string;
  /** Reads the files. */
  readonly read: () => Promise<CertificatePair>;
  /** Further roots to verify the other side with, PEM. */
  readonly ca: readonly string[];
  readonly clock: Clock;
  readonly emit: Emit;
}

/** Short enough that an administrator who replaced the files sees it work, long enough to cost nothing. */
const LOOK_MS = 10_000;
const ALERT = "upstream.certificate";

interface InUse {
  readonly pair: CertificatePair;
  readonly endsAt: number;
  readonly context: () => tls.SecureContext;
}

/** A certificate to show. */
export class ClientCertificate {
  readonly #options: ClientCertificateOptions;
  #inUse: InUse | undefined;
  #changed: (() => void) | undefined;
  #complaint: string | undefined;
  #underWay: Promise<Refusal | undefined> | undefined;

  constructor(options: ClientCertificateOptions) {
    this.#options = options;
  }

  /** TLS with this certificate; asks for it anew before each connection. */
  readonly policy: TlsPolicy = {
    verify: true,
    context: () => (this.#inUse as InUse).context(),
    prepare: async () => await this.#prepare(),
  };

  /** Its last moment, ms since the epoch, once it was read. */
  get endsAt(): number | undefined {
    return this.#inUse?.endsAt;
  }

  /**
   * Looks at the files now and then, so that a change is seen, and its end known, while no mail comes.
   *
   * @param changed - called when another certificate takes over
   * @returns what ends the looking
   */
  watch(changed: () => void): () => void {
    this.#changed = changed;
    let stop: (() => void) | undefined;
    let stopped = false;
    const look = async (): Promise<void> => {
      await this.#load();
      if (!stopped) stop = this.#options.clock.after(LOOK_MS, () => void look());
    };
    void look();
    return () => {
      stopped = true;
      stop?.();
    };
  }

  async #prepare(): Promise<Refusal | undefined> {
    const refusal = await this.#load();
    if (this.#inUse === undefined) return refusal;
    if (this.#inUse.endsAt > this.#options.clock.now()) return undefined;
    // What was found wrong with its replacement is what there is to repair.
    return refusal ?? expired(this.#inUse.endsAt);
  }

  /** Takes what the files hold into use, where it fits. A refusal says why it does not. */
  async #load(): Promise<Refusal | undefined> {
    this.#underWay ??= this.#loadOnce();
    return await this.#underWay;
  }

  async #loadOnce(): Promise<Refusal | undefined> {
    const refusal = await this.#read();
    this.#underWay = undefined;
    this.#complain(this.#inUse === undefined ? undefined : refusal?.fault?.detail);
    return refusal;
  }

  async #read(): Promise<Refusal | undefined> {
    let pair: CertificatePair;
    try {
      pair = await this.#options.read();
    } catch (error) {
      return faultAt("connect", "CERTIFICATE_FILE", describeError(error));
    }
    if (this.#inUse !== undefined && isSame(this.#inUse.pair, pair)) return undefined;
    const read = readPair(pair);
    if ("stage" in read) return read;
    const before = this.#inUse;
    const now = this.#options.clock.now();
    const untimely = before === undefined || before.endsAt <= now ? undefined : outOfTime(read.leaf, now);
    if (untimely !== undefined) return untimely;
    this.#inUse = { pair, endsAt: read.leaf.validToDate.getTime(), context: lazyContext(pair.certificatePem, read.key, this.#options.ca) };
    if (before !== undefined) this.#changed?.();
    return undefined;
  }

  /** One alert for each thing that is wrong with a replacement, for as long as it is. */
  #complain(text: string | undefined): void {
    if (text === this.#complaint) return;
    const { emit, name: subject } = this.#options;
    this.#complaint = text;
    if (text === undefined) emit({ type: "alert.cleared", alert: ALERT, subject });
    else emit({ type: "alert.raised", alert: ALERT, subject, text: `the certificate before stays in use: ${text}` });
  }
}

function expired(endsAt: number): Refusal {
  return faultAt("connect", "CERTIFICATE_EXPIRED", `the certificate ended on ${new Date(endsAt).toISOString()}`);
}

/** Undefined where it is valid now. One that is to come takes over when it has begun: the files are looked at again. */
function outOfTime({ validFromDate, validToDate }: X509Certificate, now: number): Refusal | undefined {
  if (validToDate.getTime() <= now) return expired(validToDate.getTime());
  if (validFromDate.getTime() <= now) return undefined;
  return faultAt("connect", "CERTIFICATE_FILE", `the certificate is not valid before ${validFromDate.toISOString()}`);
}

function isSame(a: CertificatePair, b: CertificatePair): boolean {
  return a.certificatePem === b.certificatePem && a.keyPem === b.keyPem && a.passphrase === b.passphrase;
}

function readPair({ certificatePem, keyPem, passphrase }: CertificatePair): { leaf: X509Certificate; key: KeyObject } | Refusal {
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(certificatePem);
  } catch {
    return faultAt("connect", "CERTIFICATE_FILE", "the certificate's file holds no certificate in PEM form");
  }
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: keyPem, ...(passphrase === undefined ? {} : { passphrase }) });
  } catch {
    // OpenSSL's own words are no help, and might tell of the passphrase.
    const locked = passphrase === undefined ? "needs a passphrase" : "cannot be opened with this passphrase";
    return faultAt("connect", "CERTIFICATE_KEY", `the key ${keyPem.includes("ENCRYPTED") ? locked : "is no private key in PEM form"}`);
  }
  if (!leaf.checkPrivateKey(key)) return faultAt("connect", "CERTIFICATE_KEY", "the key does not belong to the certificate");
  const objection = tlsObjection(certificatePem, keyPem, passphrase);
  return objection === undefined ? { leaf, key } : faultAt("connect", "CERTIFICATE_FILE", objection);
}

/** The whole file is sent: without its intermediates Exchange Online finds no connector (550 5.7.64). */
function lazyContext(cert: string, key: KeyObject, ca: readonly string[]): () => tls.SecureContext {
  let context: tls.SecureContext | undefined;
  return () =>
    (context ??= tls.createSecureContext({
      ...trustOptions(ca),
      cert,
      key: String(key.export({ type: "pkcs8", format: "pem" })),
    }));
}
