/** From what a look at a door found to what is said of it. Pure: facts and the judge's table in, findings out. */
import type { ConnectorConfig, DirectSendConfig, GraphConfig, SmtpAuthConfig, UpstreamConfig } from "../config/config.ts";
import { judgeRefusal, type Finding, type JudgeContext } from "../deliver/judge.ts";
import { formatReply } from "../mail/reply.ts";
import { lastDayOf } from "../platform/zone.ts";
import type { Diagnosis, Refusal, RecipientFact } from "../upstream/upstream.ts";
import type { DoctorFinding, Verdict } from "./finding.ts";
import { afterAWhile, openPort } from "./remedies.ts";
import { hasRight, neededRight, permissionFinding, tokenFinding } from "./token.ts";

/** What is known of a door besides what was found. */
export interface DoorSubject {
  readonly name: string;
  readonly config: UpstreamConfig;
  readonly judging: JudgeContext;
  readonly now: number;
  /** Recipients of the trial, and what for. */
  readonly asked: readonly AskedRecipient[];
}

/** Why a recipient was named in a trial: mail inside, mail to the outside, or whether the mailbox of another upstream exists. */
export interface AskedRecipient {
  readonly address: string;
  readonly purpose: "inside" | "outside" | "mailbox";
}

/** Which look a fault of the connection belongs to, by the judge's row for it. Those that are not here are of TLS. */
const LOOK_OF: Readonly<Record<string, "certificate" | "dns" | "port">> = {
  "own-certificate-expired": "certificate",
  "own-certificate-key": "certificate",
  "own-certificate-file": "certificate",
  "mx-foreign": "dns",
  "mx-none": "dns",
  "dns-temporary": "dns",
  "name-unknown": "dns",
  unreachable: "port",
  "timed-out": "port",
  reset: "port",
  proxy: "port",
};
/** The one answer for an application without right, a missing service principal and a missing mailbox. */
const UNEXPLAINED = "auth-refused";

/** All that is to be said of a door, in the order of its stages. */
export function doorFindings(door: DoorSubject, found: Diagnosis): DoctorFinding[] {
  const refusalAt = (...stages: readonly string[]): Refusal | undefined =>
    found.stages.find(({ stage, refusal }) => refusal !== undefined && stages.includes(stage))?.refusal;
  return [
    ...connectionFindings(door, found, refusalAt("connect"), refusalAt("greeting", "ehlo", "starttls")),
    ...signInFindings(door, found, refusalAt("token"), refusalAt("auth")),
    ...rightFindings(door, found, refusalAt("mail")),
  ];
}

function said(door: DoorSubject, id: string, verdict: Verdict, evidence: string, remedy?: string): DoctorFinding {
  return { id, subject: door.name, verdict, evidence: evidence.slice(0, 1000), ...(remedy === undefined ? {} : { remedy }) };
}

/** The other side's words where it said any. */
function evidenceOf({ reply, fault, stage }: Refusal, finding: Finding): string {
  if (reply !== undefined) return `${formatReply(reply)} (${finding.cause.slice(0, 200)})`;
  if (fault === undefined || fault.code === "ABORTED") return `nothing came back in time at ${stage}`;
  return finding.cause;
}

function judgedAs(door: DoorSubject, refusal: Refusal): Finding {
  // We gave up waiting: as if it had timed out.
  const late = refusal.reply === undefined && (refusal.fault === undefined || refusal.fault.code === "ABORTED");
  const meant = late ? { ...refusal, fault: { code: "TIMEOUT", detail: "nothing came back in time" } } : refusal;
  return judgeRefusal(meant, door.judging);
}

function judged(door: DoorSubject, id: string, refusal: Refusal, remedy?: (finding: Finding) => string): DoctorFinding {
  const finding = judgedAs(door, refusal);
  return said(door, id, "fault", evidenceOf(refusal, finding), remedy?.(finding) ?? finding.remedy);
}

// ---- name, port, TLS -------------------------------------------------------------------------------------------------------

function connectionFindings(
  door: DoorSubject,
  found: Diagnosis,
  unconnected: Refusal | undefined,
  unsecured: Refusal | undefined,
): DoctorFinding[] {
  const { config } = door;
  const places = found.places.slice(0, 4).join(", ");
  const fault = unconnected === undefined ? undefined : judgedAs(door, unconnected);
  const look = fault === undefined ? undefined : (LOOK_OF[fault.id] ?? "tls");
  if (unconnected !== undefined && (look === "certificate" || look === "dns")) return [judged(door, look, unconnected)];
  const dns =
    "domain" in config && config.host === undefined ? [said(door, "dns", "ok", `the MX of ${config.domain} leads to ${places}`)] : [];
  if (unconnected !== undefined && fault !== undefined) {
    if (look === "tls") return [...dns, judged(door, "tls", unconnected)];
    const [port, host] = portAndHost(config);
    // A proxy that refuses was reached: what to do about it is another matter.
    const remedy = fault.id === "proxy" ? fault.remedy : openPort(port, host);
    return [...dns, said(door, "port", "fault", `${places}: ${evidenceOf(unconnected, fault)}`, remedy)];
  }
  const connected = said(door, "port", "ok", `${found.remote ?? places} answers`);
  if (unsecured !== undefined) return [...dns, connected, judged(door, "tls", unsecured)];
  return [...dns, connected, tlsFinding(door, found)];
}

function portAndHost(config: UpstreamConfig): readonly [number, string] {
  if (config.type === "graph") {
    const { hostname, port } = new URL(config.graph_host);
    return [port === "" ? 443 : Number(port), hostname];
  }
  if ("domain" in config)
    return [config.port, config.host ?? `the MX of ${config.domain} (${config.mx_suffixes.map((suffix) => `*.${suffix}`).join(", ")})`];
  return [config.port, config.host];
}

function tlsFinding(door: DoorSubject, { tls, certificate }: Diagnosis): DoctorFinding {
  const { config } = door;
  if (config.type === "graph") return said(door, "tls", "ok", "the certificate is valid and for this host");
  if (tls === undefined) {
    const wanted = "tls" in config && config.tls === "none";
    if (wanted) return said(door, "tls", "ok", "none, as the configuration has it");
    return said(
      door,
      "tls",
      "warning",
      "the host offers no TLS: mail goes in clear",
      "Set tls: required where the host can, so that a firewall that strips STARTTLS is noticed",
    );
  }
  const its =
    certificate === undefined
      ? ""
      : `, certificate for ${namesOf(certificate.names)} by ${certificate.issuer.slice(0, 200)} until ${lastDayOf(certificate.endsAt)}`;
  if (certificate?.verified === true) return said(door, "tls", "ok", `${tls}${its}, chain and name are valid`);
  return said(
    door,
    "tls",
    "warning",
    `${tls}${its}; the certificate is not verified here`,
    "Set tls: required on the upstream, with ca: where the host has a certificate of your own authority",
  );
}

// ---- token, AUTH -----------------------------------------------------------------------------------------------------------

function isSignedIn(config: UpstreamConfig): config is SmtpAuthConfig | GraphConfig {
  return (config.type === "smtp-auth" || config.type === "graph") && config.credential.type !== "password";
}

function signInFindings(
  door: DoorSubject,
  found: Diagnosis,
  untokened: Refusal | undefined,
  refused: Refusal | undefined,
): DoctorFinding[] {
  const { config, name, now } = door;
  const findings: DoctorFinding[] = [];
  const signsIn = isSignedIn(config);
  if (untokened !== undefined) return [judged(door, signsIn ? "token" : "secret", untokened)];
  const finding = refused === undefined ? undefined : judgeRefusal(refused, door.judging);
  const tried = found.stages.some(({ stage }) => stage === "auth");
  const signIn = finding?.id === UNEXPLAINED ? "refused" : tried && refused === undefined ? "accepted" : "untried";
  if (signsIn) {
    findings.push(tokenFinding(name, config, found.token, now));
    const permission = found.token === undefined ? undefined : permissionFinding(name, config, found.token, signIn);
    if (permission !== undefined) findings.push(permission);
  }
  if (refused !== undefined && finding !== undefined) findings.push(refusedSignIn(door, found, refused, finding));
  else if (tried) findings.push(said(door, "auth", "ok", "the sign-in was accepted"));
  return findings;
}

function refusedSignIn(door: DoorSubject, { token }: Diagnosis, refused: Refusal, finding: Finding): DoctorFinding {
  const { config, name } = door;
  const evidence = evidenceOf(refused, finding);
  // Only Microsoft takes its time.
  if (config.type === "smart-host") return said(door, "auth", "fault", evidence, finding.remedy);
  if (finding.id !== UNEXPLAINED || config.type !== "smtp-auth" || token === undefined)
    return said(door, "auth", "fault", evidence, afterAWhile(finding.remedy));
  const right = neededRight(config)?.name ?? "";
  if (!hasRight(config, token))
    return said(
      door,
      "auth",
      "fault",
      evidence,
      `Grant ${right} first, as said of the permission of ${name}; if it is refused then still: ${finding.remedy}`,
    );
  // With the right in the token it is the mailbox, or the service principal that should open it.
  return said(
    door,
    "auth",
    "fault",
    `${evidence}; the token is in order, so the mailbox or its permissions are not`,
    `Check that the mailbox exists and has a licence: Get-EXOMailbox -Identity ${config.mailbox}; then that the application may open it: ${afterAWhile(finding.remedy)}`,
  );
}

// ---- right to send ---------------------------------------------------------------------------------------------------------

function rightFindings(door: DoorSubject, found: Diagnosis, unsendable: Refusal | undefined): DoctorFinding[] {
  if (unsendable !== undefined) return [judged(door, "sender", unsendable, ({ remedy }) => afterAWhile(remedy))];
  const { config } = door;
  const asked = found.recipients.flatMap((fact) => {
    const purpose = door.asked.find(({ address }) => address === fact.address)?.purpose;
    return purpose === undefined ? [] : [recipientFinding(door, fact, purpose)];
  });
  const usable = found.stages.every(({ refusal }) => refusal === undefined);
  if (!usable) return asked;
  const unproved = "what Microsoft says of sender and content shows only with a message";
  if (config.type === "smtp-auth")
    return [
      ...asked,
      said(
        door,
        "send",
        "not-tested",
        `whether ${config.mailbox} may send as the senders in use: ${unproved}`,
        "postern doctor --send ADDRESS",
      ),
    ];
  if (config.type === "graph")
    return [
      ...asked,
      said(
        door,
        "send",
        "not-tested",
        `whether ${config.mailbox === "from" ? "the senders" : config.mailbox} may be sent as: ${unproved}`,
        "postern doctor --send ADDRESS",
      ),
    ];
  return asked;
}

function recipientFinding(door: DoorSubject, { address, refusal }: RecipientFact, purpose: AskedRecipient["purpose"]): DoctorFinding {
  const { config } = door;
  if (purpose === "mailbox") {
    if (refusal === undefined) return said(door, "mailbox", "ok", `the organization takes mail for ${address}`);
    const finding = judgeRefusal(refusal, door.judging);
    if (finding.scope !== "recipient") return said(door, "mailbox", "not-tested", `${address}: ${evidenceOf(refusal, finding)}`);
    return said(
      door,
      "mailbox",
      "fault",
      `${address}: ${evidenceOf(refusal, finding)}`,
      `The mailbox ${address} does not exist in the organization: make it, or correct mailbox: on the upstream that uses it`,
    );
  }
  const id = config.type === "connector" ? "connector" : config.type === "direct-send" ? "direct-send" : "recipient";
  const what = purpose === "outside" ? "mail to the outside" : "mail inside the organization";
  if (refusal === undefined) return said(door, id, "ok", `${what} is taken (RCPT ${address})`);
  const finding = judgeRefusal(refusal, door.judging);
  const evidence = `${what} (RCPT ${address}): ${evidenceOf(refusal, finding)}`;
  if (isMx(config) && finding.id.startsWith("direct-send"))
    return said(
      door,
      id,
      "fault",
      evidence,
      `${finding.remedy}${/minutes/.test(finding.remedy) ? "" : "; RejectDirectSend takes about 30 minutes to change"}`,
    );
  // An address that is unknown says nothing against the door.
  if (finding.scope === "recipient" && finding.outcome === "bounce") return said(door, id, "warning", evidence, finding.remedy);
  return said(door, id, "fault", evidence, isMx(config) ? afterAWhile(finding.remedy) : finding.remedy);
}

function isMx(config: UpstreamConfig): config is DirectSendConfig | ConnectorConfig {
  return config.type === "direct-send" || config.type === "connector";
}

/** Names of a certificate: the first few, and how many there are besides. */
function namesOf(names: string): string {
  const all = names.split(", ");
  return `${all.slice(0, MOST_NAMES).join(", ").slice(0, 200)}${all.length > MOST_NAMES ? ` and ${all.length - MOST_NAMES} more` : ""}`;
}

const MOST_NAMES = 3;
