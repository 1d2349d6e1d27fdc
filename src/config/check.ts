/** Looks at everything the configuration names: secrets, certificates, dates, folders. */
import { access, constants, stat, statfs } from "node:fs/promises";
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { dirname, join } from "node:path";
import { readTokenFile, tokenFilePath } from "../access/token-file.ts";
import { describeError, PosternError } from "../mail/errors.ts";
import { readPkcs12 } from "../platform/pkcs12.ts";
import { tlsObjection } from "../platform/tls-pair.ts";
import { lastDayOf } from "../platform/zone.ts";
import { isWebhookAddress } from "../platform/webhook-address.ts";
import { chainFault } from "./chain.ts";
import { LONGEST_LEARNING_MS } from "./config.ts";
import type {
  Config,
  ConnectorConfig,
  ListenerConfig,
  OAuthCredential,
  SecretRef,
  SyslogConfig,
  UpstreamConfig,
  WebhookConfig,
} from "./config.ts";
import type { Finding, KeyPath, Severity } from "./finding.ts";
import { byPosition } from "./finding.ts";
import type { ConfigSource } from "./load.ts";
import { readBounded, readFault } from "./read-file.ts";
import { describeSecret, secretPath, secretReader } from "./secret.ts";
import { isLoopback } from "./values.ts";

const DAY_MS = 86_400_000;
/** Time enough to get a new certificate or secret through an organization. */
const NEAR_MS = 30 * DAY_MS;
const MAX_PEM_OCTETS = 2 ** 20;

export interface CheckOptions {
  /** Where secrets given as variables are looked up. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** The date that certificates and secrets are compared with, ms since the epoch. */
  readonly now?: number | undefined;
}

/**
 * Finds what is wrong with the files, variables and dates that the configuration names. Makes no connection, and changes nothing.
 *
 * Findings of severity `listener` forbid a start; those of `door` name the upstream that must be held; `warning` is for the eye only.
 */
export async function checkConfig(config: Config, source: ConfigSource, options: CheckOptions = {}): Promise<Finding[]> {
  const check = new Check(source, options.env ?? process.env, options.now ?? Date.now());
  await check.dataDir(config.data_dir);
  for (const [name, listener] of Object.entries(config.listeners)) await check.listener(name, listener, config.hostname);
  for (const [name, { learn }] of Object.entries(config.clients)) if (learn !== undefined) check.learning(name, learn.until);
  for (const [name, upstream] of Object.entries(config.upstreams)) await check.upstream(name, upstream, config);
  await check.admin(config);
  if (config.alerts.webhook !== undefined) await check.webhook(config.alerts.webhook);
  if (config.alerts.syslog !== undefined) await check.syslog(config.alerts.syslog);
  return check.findings.toSorted(byPosition);
}

/** Where a finding belongs: its key, how bad it is, and the upstream that it concerns. */
interface Subject {
  readonly path: KeyPath;
  readonly severity: Severity;
  readonly upstream?: string | undefined;
  /** How bad it is that a certificate has expired; default a warning. */
  readonly expired?: Severity | undefined;
}

class Check {
  readonly findings: Finding[] = [];
  readonly #source: ConfigSource;
  readonly #env: NodeJS.ProcessEnv;
  readonly #now: number;

  constructor(source: ConfigSource, env: NodeJS.ProcessEnv, now: number) {
    this.#source = source;
    this.#env = env;
    this.#now = now;
  }

  #add({ path, severity, upstream }: Subject, message: string): void {
    this.findings.push({ ...this.#source.find(path, severity, message), upstream });
  }

  #warn(subject: Subject, message: string): void {
    this.#add({ ...subject, severity: "warning" }, message);
  }

  async dataDir(path: string): Promise<void> {
    const subject: Subject = { path: ["data_dir"], severity: "error" };
    const existing = await nearestExisting(path);
    const entry = await stat(existing);
    if (!entry.isDirectory()) return this.#add(subject, `${existing} is not a folder`);
    if (NETWORK_FILE_SYSTEMS.has((await statfs(existing)).type))
      return this.#add(subject, `${existing} is on a network file system, which cannot keep the promise to lose nothing`);
    try {
      await access(existing, constants.W_OK | constants.X_OK);
    } catch {
      // Often checked by another user than the service's, before systemd has made the folder.
      this.#warn(subject, existing === path ? "this user may not write to it" : "it does not exist, and this user may not create it");
    }
  }

  learning(client: string, until: number): void {
    const subject: Subject = { path: ["clients", client, "learn", "until"], severity: "moment" };
    if (until - this.#now > LONGEST_LEARNING_MS)
      this.#add(
        subject,
        `expected a time at most 2 hours ahead of now (${new Date(this.#now).toISOString()}): everybody in these networks could send. Nobody is let in by it before`,
      );
    else if (until <= this.#now) this.#warn(subject, "learning is over: remove learn, or set a new time");
  }

  async listener(name: string, { tls }: ListenerConfig, hostname: string): Promise<void> {
    const several = tls.certificate.length > 1;
    const at = (key: string, index?: number): Subject => ({
      path: ["listeners", name, "tls", key, ...(several && index !== undefined ? [index] : [])],
      severity: "listener",
    });
    const found: X509Certificate[] = [];
    for (const [index, file] of tls.certificate.entries()) {
      const subject = at("certificate", index);
      const certificate = await this.#pair(subject, file, at("key", index), tls.key[index] ?? "", undefined);
      if (certificate === undefined) continue;
      found.push(certificate);
      this.#names(subject, certificate, hostname);
    }
    if (tls.pfx !== undefined) {
      const certificate = await this.#pkcs12(at("pfx"), tls.pfx, at("passphrase"), tls.passphrase);
      if (certificate !== undefined) {
        found.push(certificate);
        this.#names(at("pfx"), certificate, hostname);
      }
    }
    if (
      found.length > 0 &&
      found.length === Math.max(1, tls.certificate.length) &&
      found.every((one) => one.publicKey.asymmetricKeyType === "ec")
    )
      this.#warn(
        at(tls.pfx === undefined ? "certificate" : "pfx"),
        "the certificate has an ECDSA key: devices that know only RSA key exchange (Ricoh, Xerox, Kyocera, Sharp) cannot connect. Put an RSA certificate beside it",
      );
  }

  #names(subject: Subject, certificate: X509Certificate, hostname: string): void {
    if (certificate.checkHost(hostname) === undefined)
      this.#warn(subject, `the certificate is not for ${hostname}: clients that verify it will refuse`);
  }

  async #pkcs12(
    subject: Subject,
    file: string,
    atPassphrase: Subject,
    reference: SecretRef | undefined,
  ): Promise<X509Certificate | undefined> {
    const passphrase = reference === undefined ? undefined : await this.#secret(atPassphrase, reference);
    if (reference !== undefined && passphrase === undefined) return undefined;
    const text = await this.#read(subject, file);
    if (text === undefined) return undefined;
    try {
      const certificate = readPkcs12(Buffer.from(text, "latin1"), passphrase);
      this.#dates(subject, certificate);
      await this.#others(subject, file);
      return certificate;
    } catch (error) {
      this.#add(subject, `${file}: ${describeError(error)}`);
      return undefined;
    }
  }

  /** Beyond this machine only with TLS, which the schema sees to, and only once somebody has a token. */
  async admin({ admin: { listen, tls }, hostname, data_dir: dataDir }: Config): Promise<void> {
    if (tls !== undefined) {
      const at = (key: string): Subject => ({ path: ["admin", "tls", key], severity: "listener" });
      const certificate = await this.#pair(at("certificate"), tls.certificate, at("key"), tls.key, undefined);
      if (certificate !== undefined) this.#names(at("certificate"), certificate, hostname);
    }
    if (isLoopback(listen.host)) return;
    const subject: Subject = { path: ["admin", "listen"], severity: "listener" };
    const add = "postern token add NAME --role viewer|operator|administrator";
    try {
      const tokens = await readTokenFile(tokenFilePath(dataDir));
      if (tokens === undefined)
        this.#add(
          subject,
          `other machines reach ${JSON.stringify(listen.text)}, and nobody has a token yet: type ${add} first (it works before the start), or listen on a loopback address`,
        );
      // Once there were tokens, the last one may end at night: mail must not stop for that at the next start.
      else if (tokens.every(({ expiresAt }) => expiresAt !== undefined && expiresAt <= this.#now))
        this.#warn(subject, `no token is valid, so that nobody can use the API: ${add}`);
    } catch (error) {
      this.#warn(subject, `whether somebody has a token cannot be seen: ${describeError(error)}`);
    }
  }

  /** Never more than a warning: mail does not depend on it. */
  async webhook({ url, secret }: WebhookConfig): Promise<void> {
    const at = (key: string): Subject => ({ path: ["alerts", "webhook", key], severity: "warning" });
    if (secret !== undefined) await this.#secret(at("secret"), secret);
    const address = await this.#secret(at("url"), url);
    if (address !== undefined && !isWebhookAddress(address.trim()))
      this.#warn(at("url"), `expected https://… or http:// to this machine in ${describeSecret(url)}: no alert is posted`);
  }

  /** As with the webhook. */
  async syslog({ address }: SyslogConfig): Promise<void> {
    if (address.transport !== "unix") return;
    const subject: Subject = { path: ["alerts", "syslog", "address"], severity: "warning" };
    try {
      if (!(await stat(address.path)).isSocket()) this.#warn(subject, `${address.path} is not a socket: no alert is sent`);
    } catch (error) {
      this.#warn(subject, `${address.path} ${readFault(error)}: no alert is sent`);
    }
  }

  async upstream(name: string, upstream: UpstreamConfig, config: Config): Promise<void> {
    const at = (...path: string[]): Subject => ({ path: ["upstreams", name, ...path], severity: "door", upstream: name });
    const own = ["upstreams", name, ...(this.#source.has(["upstreams", name, "network", "ca"]) ? ["network"] : [])];
    const where = upstream.ca === config.network.ca ? ["network"] : own;
    for (const [index, file] of upstream.ca.entries()) await this.#authorities({ ...at(), path: [...where, "ca", index] }, file);
    if (upstream.type === "direct-send") return;
    if (upstream.type === "connector") return await this.#connector(upstream, at);
    const { credential } = upstream;
    if (credential === undefined) return;
    if (credential.type === "device-code") return await this.#signedIn(at("credential"), name, config.data_dir);
    if (credential.type !== "password") return await this.#oauth(credential, (key) => at("credential", key));
    if (credential.expires !== undefined) this.#end(at("credential", "expires"), "the password", credential.expires);
    await this.#secret(at("credential", "password"), credential.password);
  }

  async #connector({ certificate: own, ca }: ConnectorConfig, at: (key: string) => Subject): Promise<void> {
    if (own === undefined) return;
    const passphrase = own.passphrase === undefined ? undefined : await this.#secret(at("passphrase"), own.passphrase);
    if (own.passphrase !== undefined && passphrase === undefined) return;
    // An expired one is not even tried.
    const subject: Subject = { ...at("certificate"), expired: "door" };
    const certificate = await this.#pair(subject, own.certificate, at("key"), own.key, passphrase);
    if (certificate === undefined) return;
    const text = await this.#read(subject, own.certificate);
    const chain = pemCertificates(text ?? "").flatMap((pem) => parseCertificate(pem) ?? []);
    // Faults of these files are told where the upstream's authorities are looked at.
    const known = (await Promise.all(ca.map((file) => readBounded(file, MAX_PEM_OCTETS).catch(() => undefined)))).flatMap((pem) =>
      pemCertificates(pem?.toString("latin1") ?? "").flatMap((one) => parseCertificate(one) ?? []),
    );
    const fault = chainFault(chain, parseCertificate, known);
    if (fault !== undefined)
      this.#warn(
        subject,
        `${fault}: Exchange Online finds no connector then, and answers 550 5.7.64 TenantAttribution; Relay Access Denied`,
      );
  }

  /** Whether a person has signed in, where this user may look. */
  async #signedIn(subject: Subject, upstream: string, dataDir: string): Promise<void> {
    try {
      await stat(join(dataDir, "deliver", `${upstream}.sign-in`));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT")
        this.#warn(subject, `nobody has signed in yet: mail waits until somebody does, with postern auth login ${upstream}`);
    }
  }

  async #oauth(credential: OAuthCredential, at: (key: string) => Subject): Promise<void> {
    if (credential.type === "client-secret") {
      if (credential.expires !== undefined) this.#end(at("expires"), "the secret", credential.expires);
      await this.#secret(at("secret"), credential.secret);
      return;
    }
    if (credential.type !== "client-certificate") return;
    const { passphrase: reference } = credential;
    const passphrase = reference === undefined ? undefined : await this.#secret(at("passphrase"), reference);
    if (reference !== undefined && passphrase === undefined) return;
    const certificate = await this.#pair(at("certificate"), credential.certificate, at("key"), credential.key, passphrase, false);
    if (certificate !== undefined && certificate.publicKey.asymmetricKeyType !== "rsa")
      this.#add(at("certificate"), "expected an RSA certificate: Microsoft Entra ID takes no other");
  }

  /** Gives the secret where it can be read. */
  async #secret(subject: Subject, reference: SecretRef): Promise<string | undefined> {
    const path = secretPath(reference, this.#env);
    if ("credential" in reference && path === undefined) {
      this.#warn(subject, `${describeSecret(reference)} is not checkable here: systemd passes it to the service only`);
      return undefined;
    }
    try {
      const secret = await secretReader(reference, this.#env)();
      if (path !== undefined) await this.#others(subject, path, describeSecret(reference));
      return secret;
    } catch (error) {
      this.#add(subject, error instanceof PosternError ? error.message : `${describeSecret(reference)} ${readFault(error)}`);
      return undefined;
    }
  }

  /** Warns of a secret or a private key that everybody may read. */
  async #others(subject: Subject, path: string, what = path): Promise<void> {
    const entry = await stat(path).catch(() => undefined);
    if (entry !== undefined && (entry.mode & 0o004) !== 0) this.#warn(subject, `${what} can be read by every user of this machine`);
  }

  /**
   * Checks that a certificate and a key can be read and belong together; gives the certificate when they do.
   *
   * @param shown - in TLS, where OpenSSL has a word in it; else it only signs
   */
  async #pair(
    atCertificate: Subject,
    certificateFile: string,
    atKey: Subject,
    keyFile: string,
    passphrase: string | undefined,
    shown = true,
  ): Promise<X509Certificate | undefined> {
    const certificateText = await this.#read(atCertificate, certificateFile);
    const keyText = await this.#read(atKey, keyFile);
    const certificate = certificateText === undefined ? undefined : this.#certificate(atCertificate, certificateFile, certificateText);
    const key = keyText === undefined ? undefined : this.#key(atKey, keyFile, keyText, passphrase);
    if (key !== undefined) await this.#others(atKey, keyFile);
    if (certificate === undefined || key === undefined) return undefined;
    if (!certificate.checkPrivateKey(key)) {
      this.#add(atKey, `the key in ${keyFile} does not fit the certificate in ${certificateFile}`);
      return undefined;
    }
    const objection = shown ? tlsObjection(certificateText as string, keyText as string, passphrase) : undefined;
    if (objection === undefined) return certificate;
    this.#add(atCertificate, `${certificateFile}: ${objection}`);
    return undefined;
  }

  #certificate(subject: Subject, file: string, text: string): X509Certificate | undefined {
    const [leaf] = pemCertificates(text);
    const certificate = leaf === undefined ? undefined : parseCertificate(leaf);
    if (certificate === undefined) {
      this.#add(subject, `${file} holds no certificate in PEM form`);
      return undefined;
    }
    this.#dates(subject, certificate);
    return certificate;
  }

  #dates(subject: Subject, certificate: X509Certificate): void {
    if (certificate.validFromDate.getTime() > this.#now)
      this.#warn(subject, `the certificate is not valid before ${certificate.validFromDate.toISOString().slice(0, 10)}`);
    this.#end(subject, "the certificate", certificate.validToDate.getTime());
  }

  #key(subject: Subject, file: string, text: string, passphrase: string | undefined): KeyObject | undefined {
    try {
      return createPrivateKey({ key: text, format: "pem", ...(passphrase === undefined ? {} : { passphrase }) });
    } catch {
      const locked = passphrase === undefined ? "needs a passphrase" : "cannot be opened with this passphrase";
      const why = text.includes("ENCRYPTED") ? locked : "holds no private key in PEM form";
      this.#add(subject, `${file} ${why}`);
      return undefined;
    }
  }

  async #authorities(subject: Subject, file: string): Promise<void> {
    const text = await this.#read(subject, file);
    if (text === undefined) return;
    const certificates = pemCertificates(text).map(parseCertificate);
    if (certificates.length === 0) this.#add(subject, `${file} holds no certificate in PEM form`);
    else if (certificates.includes(undefined)) this.#add(subject, `${file} holds a certificate that cannot be read`);
    else if (certificates.every((certificate) => certificate !== undefined && certificate.validToDate.getTime() < this.#now))
      this.#warn(subject, `every certificate in ${file} has expired`);
  }

  async #read(subject: Subject, file: string): Promise<string | undefined> {
    try {
      return (await readBounded(file, MAX_PEM_OCTETS)).toString("latin1");
    } catch (error) {
      this.#add(subject, `${file} ${readFault(error)}`);
      return undefined;
    }
  }

  #end(subject: Subject, what: string, end: number): void {
    const expired: Subject = { ...subject, severity: subject.expired ?? "warning" };
    if (end < this.#now) this.#add(expired, `${what} expired on ${lastDayOf(end)}: renew it`);
    else if (end - this.#now < NEAR_MS) this.#warn(subject, `${what} expires on ${lastDayOf(end)}: renew it`);
  }
}

/** Numbers of Linux's file systems that are reached over a network: NFS, SMB, CIFS, SMB2, Ceph, AFS, 9P. */
const NETWORK_FILE_SYSTEMS = new Set([0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x00c36400, 0x5346414f, 0x01021997]);

async function nearestExisting(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch {
    const parent = dirname(path);
    return parent === path ? path : nearestExisting(parent);
  }
}

/** The certificates of a PEM file, in order. */
function pemCertificates(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}
