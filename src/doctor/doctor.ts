/**
 * The doctor: looks at the machine, at every door and at DNS, and says what it found, one thing after the other. Sends no mail. All doors are looked at
 * at once, because a blocked port takes its time; what is said comes in the order of the configuration.
 */
import type { Config, UpstreamConfig } from "../config/config.ts";
import { contextOf, type JudgeContext } from "../deliver/judge.ts";
import { describeError } from "../mail/errors.ts";
import { isInternalDomain, splitAddress } from "../mail/address.ts";
import type { Reply } from "../mail/reply.ts";
import { formatReply } from "../mail/reply.ts";
import type { Diagnosis, Trial, Upstream } from "../upstream/upstream.ts";
import { seenAddress, spfFindings } from "./domains.ts";
import { doorFindings, type AskedRecipient } from "./door.ts";
import type { DoctorFinding, DoctorItem } from "./finding.ts";
import { clockFinding, diskFindings, expiryFinding, type DateAnswer, type DiskFacts } from "./machine.ts";
import type { SpfDns } from "./spf.ts";

/** What the doctor looks at things with. */
export interface DoctorOptions {
  readonly config: Config;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly now: () => number;
  readonly disk: () => Promise<DiskFacts>;
  /** Why the queue takes nothing; undefined: it does, or there is none at hand. */
  readonly refusal: () => Reply | undefined;
  /** Listeners' certificates. */
  readonly certificates: () => readonly { readonly name: string; readonly expiresAt: number }[];
  /** The time at the sign-in service of an upstream. Never rejects. */
  readonly dateOf: (config: UpstreamConfig) => Promise<DateAnswer | undefined>;
  readonly dns: SpfDns;
}

/** Somebody outside: a name that is kept for examples. Nothing is sent there. */
const OUTSIDE = "postern-doctor@example.com";

/** A door that swallows packets at many addresses would take minutes. */
const DOOR_MS = 45_000;

/** Looks at everything. Ends early, and without a word, when the signal aborts. */
export async function* examine(options: DoctorOptions, signal: AbortSignal): AsyncGenerator<DoctorItem> {
  const { config, upstreams } = options;
  const doors = Object.entries(config.upstreams).map(([name, own]) => ({
    name,
    own,
    found: look(name, own, upstreams.get(name), config, signal),
  }));
  yield { doing: "the machine" };
  for await (const finding of machineFindings(options)) yield { finding };
  let seenAt: string | undefined;
  for (const { name, own, found } of doors) {
    if (signal.aborted) return;
    yield { doing: `upstream ${name}` };
    const { diagnosis, asked, fault } = await found;
    const upstream = upstreams.get(name);
    if (upstream === undefined || diagnosis === undefined) {
      yield { finding: { id: "upstream", subject: name, verdict: "not-tested", evidence: fault ?? "it cannot be looked at" } };
      continue;
    }
    const judging = judgeContext(upstream, config);
    if (upstream.traits.microsoft && diagnosis.ehlo !== undefined) seenAt ??= seenAddress(formatReply(diagnosis.ehlo));
    const findings = doorFindings({ name, config: own, judging, now: options.now(), asked }, diagnosis);
    for (const finding of findings) yield { finding: filledIn(finding, own, seenAt) };
    const expiry = credentialFinding(upstream, own, findings, options.now());
    if (expiry !== undefined) yield { finding: expiry };
  }
  if (signal.aborted) return;
  yield { doing: "the organization's domains" };
  for await (const finding of spfFindings(config, seenAt, options.dns)) yield { finding };
}

async function* machineFindings({ config, disk, refusal, certificates, dateOf, now }: DoctorOptions): AsyncGenerator<DoctorFinding> {
  try {
    yield* diskFindings(config.data_dir, await disk());
  } catch (error) {
    yield { id: "disk", subject: "machine", verdict: "not-tested", evidence: `${config.data_dir}: ${describeError(error)}` };
  }
  const refused = refusal();
  if (refused !== undefined)
    yield {
      id: "queue",
      subject: "machine",
      verdict: "fault",
      evidence: formatReply(refused),
      remedy: "journalctl -u postern names the reason",
    };
  for (const { name, expiresAt } of certificates())
    yield expiryFinding(
      "listener-certificate",
      name,
      "the certificate",
      expiresAt,
      now(),
      `Put a new one in the files of listeners.${name}.tls`,
    );
  const answers = await Promise.all(Object.values(config.upstreams).map(async (own) => await dateOf(own)));
  yield clockFinding(answers.find((answer) => answer !== undefined && "at" in answer) ?? answers.find((answer) => answer !== undefined));
}

interface Look {
  readonly diagnosis?: Diagnosis;
  readonly asked: readonly AskedRecipient[];
  readonly fault?: string;
}

async function look(name: string, own: UpstreamConfig, upstream: Upstream | undefined, config: Config, signal: AbortSignal): Promise<Look> {
  const asked = askedOf(own, config);
  if (upstream?.diagnose === undefined) return { asked };
  const { mailbox, traits } = upstream;
  const trial: Trial = {
    reversePath:
      traits.nullSender === "mailbox"
        ? (traits.sender.address ?? mailbox ?? config.organization.default_sender)
        : config.organization.default_sender,
    recipients: asked.map(({ address }) => address),
  };
  try {
    return { asked, diagnosis: await upstream.diagnose(trial, AbortSignal.any([signal, AbortSignal.timeout(DOOR_MS)])) };
  } catch (error) {
    return { asked, fault: `${name}: ${describeError(error)}` };
  }
}

/** Whom to name at RCPT: somebody inside, and outside where the door serves that; at a host of the tenant's the mailboxes that other doors sign in as. */
function askedOf(own: UpstreamConfig, config: Config): AskedRecipient[] {
  const { postmaster, default_sender: sender, domains } = config.organization;
  const isInternal = (address: string): boolean => isInternalDomain(splitAddress(address).domain, domains);
  const inside = [postmaster, sender].find(isInternal);
  const asked: AskedRecipient[] = inside === undefined ? [] : [{ address: inside, purpose: "inside" }];
  if (own.type === "connector") asked.unshift({ address: OUTSIDE, purpose: "outside" });
  if (own.type === "direct-send" || own.type === "connector") {
    for (const other of Object.values(config.upstreams)) {
      if (!("mailbox" in other) || other.mailbox === "from" || !isInternal(other.mailbox)) continue;
      if (asked.every(({ address }) => address !== other.mailbox)) asked.push({ address: other.mailbox, purpose: "mailbox" });
    }
  }
  return asked;
}

/** What is known stands in the remedy, so that it can be pasted. */
function filledIn(finding: DoctorFinding, own: UpstreamConfig, seenAt: string | undefined): DoctorFinding {
  if (finding.remedy === undefined) return finding;
  const clientId =
    "credential" in own && own.credential !== undefined && "client_id" in own.credential ? own.credential.client_id : undefined;
  let remedy = finding.remedy;
  if (seenAt !== undefined) remedy = remedy.replaceAll("-SenderIPAddresses ADDRESS", `-SenderIPAddresses ${seenAt}`);
  if ("host" in own && own.host !== undefined) remedy = remedy.replaceAll("HOST:PORT", `${own.host}:${own.port}`);
  if (clientId !== undefined && /^[\w-]+$/.test(clientId)) remedy = remedy.replaceAll("CLIENT-ID", clientId);
  return { ...finding, remedy };
}

function judgeContext(upstream: Upstream, { organization }: Config): JudgeContext {
  return contextOf(upstream, {
    sender: upstream.mailbox ?? organization.default_sender,
    isInternal: (address) => isInternalDomain(splitAddress(address).domain, organization.domains),
  });
}

/** When the secret, certificate or sign-in ends; undefined where that is not known, or was found out the hard way already. */
function credentialFinding(
  { name, credentialExpiresAt, signInFrom }: Upstream,
  own: UpstreamConfig,
  findings: readonly DoctorFinding[],
  now: number,
): DoctorFinding | undefined {
  if (credentialExpiresAt === undefined) return undefined;
  const credential = "credential" in own ? own.credential : undefined;
  const isSecret = credential !== undefined && "expires" in credential;
  const [what, remedy] =
    credential?.type === "device-code"
      ? ["the sign-in, which the relay renews by itself,", `Sign in anew: postern auth login ${name}`]
      : credential?.type === "password"
        ? [
            "the password",
            `Set a new password, put it where the password is (${signInFrom?.password ?? "credential.password"}), and its last day into credential.expires`,
          ]
        : isSecret
          ? [
              "the secret",
              `Make a new secret at Entra admin center > App registrations > the application > Certificates & secrets, put its value where the secret is (${signInFrom?.secret ?? "credential.secret"}), and its last day into credential.expires`,
            ]
          : [
              "the certificate",
              "Put a new certificate and key in the files that the upstream names; upload it to the application where that signs in with it",
            ];
  const expiry = expiryFinding("expiry", name, what, credentialExpiresAt, now, remedy);
  if (expiry.verdict !== "fault") return expiry;
  const of = (verdict: DoctorFinding["verdict"], ...ids: readonly string[]): boolean =>
    findings.some((finding) => finding.verdict === verdict && ids.includes(finding.id));
  if (of("fault", "token", "certificate", "secret", "auth")) return undefined;
  // It was just signed in with: the date in the configuration is wrong.
  if (isSecret && of("ok", "token", "auth"))
    return {
      ...expiry,
      verdict: "warning",
      evidence: `${expiry.evidence}, says the configuration, and it still works`,
      remedy: "Correct credential.expires on the upstream",
    };
  return expiry;
}
