/**
 * From what happened in an attempt to what it means: a verdict for each recipient, and an effect on the door. The only place that
 * decides so. Pure and table-driven: `answers.ts` and `faults.ts` say what each answer means, the rules at the end say what the rest does.
 */
import { formatReply, parseReply, type Reply } from "../mail/reply.ts";
import { describeFault, type AttemptFacts, type Refusal, type Stage, type Upstream, type UpstreamType } from "../upstream/upstream.ts";
import { ANSWERS } from "./answers.ts";
import { ENTRA } from "./entra.ts";
import { FAULTS } from "./faults.ts";
import { LEAVES_BY_ITSELF, type AnswerRow, type FaultRow, type Meaning, type Reach } from "./meaning.ts";

/** What is known besides the facts. */
export interface JudgeContext {
  /** Fills UPSTREAM in remedies. */
  readonly upstream: string;
  readonly type: UpstreamType;
  /** True for doors to Microsoft 365, whose words the table knows; a smart host may mean anything by them. */
  readonly microsoft: boolean;
  /** The one mailbox that sends all this door's mail, where there is one; fills MAILBOX in remedies. */
  readonly mailbox: string | undefined;
  /** What the door rewrites senders to, where it has such an address; fills OWN-ADDRESS in remedies. */
  readonly ownAddress?: string | undefined;
  /** Reverse-path; fills SENDER in remedies. */
  readonly sender: string;
  /** Where its sign-in comes from; fills AUTHORITY, PASSWORD-PLACE and SECRET-PLACE in remedies. */
  readonly signInFrom?: Upstream["signInFrom"];
  /** True for recipients in the organization's domains. */
  readonly isInternal: (address: string) => boolean;
}

/** What is known of a door, for its judge. */
export function contextOf(
  { name, type, traits, mailbox, signInFrom }: Pick<Upstream, "name" | "type" | "traits" | "mailbox" | "signInFrom">,
  { sender, isInternal }: Pick<JudgeContext, "sender" | "isInternal">,
): JudgeContext {
  const ownAddress = traits.sender.address ?? mailbox;
  return { upstream: name, type, microsoft: traits.microsoft, mailbox, ownAddress, signInFrom, sender, isInternal };
}

/** A refusal with its meaning, its remedy filled in, and the detail of a fault in its cause. */
export interface Finding extends Omit<Meaning, "scope"> {
  /** To what the outcome applies on this door. */
  readonly scope: Reach;
  readonly stage: Stage;
  readonly reply: Reply | undefined;
}

/** What becomes of one recipient. */
export type Verdict =
  | { readonly kind: "delivered"; readonly reply: Reply | undefined }
  | { readonly kind: "retry"; readonly finding: Finding; readonly ambiguous: boolean; readonly waitMs: number | undefined }
  | { readonly kind: "hold"; readonly by: "upstream" | "sender" | "corrupt"; readonly finding: Finding }
  | { readonly kind: "bounce"; readonly finding: Finding }
  /** Another door of the route may take it now; where there is none left, `otherwise` applies. */
  | { readonly kind: "next"; readonly finding: Finding; readonly otherwise: Exclude<Verdict, { readonly kind: "next" }> }
  /** We stopped it ourselves: as if it had not been tried. */
  | { readonly kind: "return" };

/** What becomes of the door. `works`: it took a message, or refused one for reasons of its own. `unclear`: nothing learned. */
export type DoorEffect =
  | { readonly kind: "works" }
  | { readonly kind: "unclear" }
  | { readonly kind: "pause" | "slow" | "hold"; readonly finding: Finding };

export interface Judgement {
  /** One for each recipient asked about, in the same order. */
  readonly verdicts: readonly Verdict[];
  readonly door: DoorEffect;
}

const WORKS: DoorEffect = { kind: "works" };
const UNCLEAR: DoorEffect = { kind: "unclear" };
const RETURN: Verdict = { kind: "return" };

/** Stages before any mail is offered: what goes wrong there is the upstream's, whatever it says. */
const BEFORE_MAIL: ReadonlySet<Stage> = new Set<Stage>(["connect", "greeting", "ehlo", "starttls", "token", "auth"]);
export function isBeforeMail(stage: Stage): boolean {
  return BEFORE_MAIL.has(stage);
}

/** Longest text that is matched; a server may send more, but never says anything new there. */
const MATCHED_CHARACTERS = 2_000;

/** The text of a reply on one line without the trailing `[HOST …]` brackets in which Microsoft names its servers. */
export function normalizedText(reply: Reply): string {
  let text = reply.text.slice(0, MATCHED_CHARACTERS).replaceAll("\n", " ").trimEnd();
  while (text.endsWith("]")) {
    const open = text.lastIndexOf("[");
    if (open < 0) break;
    text = text.slice(0, open).trimEnd();
  }
  return text;
}

/** `530 5.7.57 Client not authenticated … Error: 535 5.7.139 …`: the tail holds the real reason, which came at AUTH. */
function innerReason(reply: Reply, text: string): Reply | undefined {
  if (reply.enhanced !== "5.7.57") return undefined;
  const inner = /\bError: *(\d{3} \d\.\d{1,3}\.\d{1,3} .*)$/.exec(text)?.[1];
  return inner === undefined ? undefined : parseReply(inner);
}

/** What is known of the transaction besides the refusal; absent: not so. */
export interface Transacted {
  /** Another recipient outside the organization was taken in it. */
  readonly othersOutsideAccepted?: boolean | undefined;
  /** The refusal is of the whole message, which had more than one recipient. */
  readonly severalRecipients?: boolean | undefined;
  /** The message was offered as from the door's own address. */
  readonly ownSender?: boolean | undefined;
}

/** What a row may look at. */
interface Answered extends Transacted {
  readonly reply: Reply;
  readonly text: string;
  readonly stage: Stage;
}

function fits(row: AnswerRow, answered: Answered, { microsoft, type }: JudgeContext): boolean {
  const { reply, text, stage, othersOutsideAccepted, severalRecipients, ownSender } = answered;
  return (
    (row.from === "any" || microsoft) &&
    (row.doors === undefined || row.doors.includes(type)) &&
    (row.othersOutsideAccepted === undefined || othersOutsideAccepted === true) &&
    (row.severalRecipients === undefined || severalRecipients === true) &&
    (row.ownSender === undefined || ownSender === true) &&
    (row.stages === undefined || row.stages.includes(stage)) &&
    (row.codes === undefined || row.codes.includes(reply.code)) &&
    (row.enhanced === undefined || (reply.enhanced !== undefined && row.enhanced.test(reply.enhanced))) &&
    (row.words === undefined || row.words.test(text))
  );
}

/** True when the meaning is about the door, or about what stands behind it: its mailbox, its organization. */
function isOfDoor({ scope }: Meaning): boolean {
  return scope === "upstream" || scope === "mailbox" || scope === "tenant";
}

function meaningOfReply(reply: Reply, stage: Stage, transacted: Transacted, context: JudgeContext): Meaning {
  const text = normalizedText(reply);
  const inner = innerReason(reply, text);
  if (inner !== undefined) return meaningOfReply(inner, "auth", {}, context);
  const answered = { ...transacted, reply, text, stage };
  const row = ANSWERS.find((candidate) => fits(candidate, answered, context));
  if (row !== undefined && (isOfDoor(row) || !BEFORE_MAIL.has(stage))) return row;
  return meaningByClass(reply, stage, context);
}

/** What no row knows. Unknown means temporary, except where a 5xx says that trying again is of no use. */
function meaningByClass(reply: Reply, stage: Stage, { microsoft, type }: JudgeContext): Meaning {
  const said = formatReply(reply).slice(0, 200);
  // Over HTTP a 4xx is a "no" and a 5xx passes: the other way round than in SMTP.
  const http = type === "graph";
  if (BEFORE_MAIL.has(stage)) {
    if (http ? reply.code >= 500 || reply.code < 400 : reply.code < 500)
      return { id: "door-temporary", outcome: "retry", scope: "upstream", cause: `the next hop is not ready: ${said}`, remedy: "Wait" };
    const where = stage === "auth" ? "refuses the sign-in" : `refuses us at ${stage}`;
    return {
      id: "door-refused",
      outcome: "hold",
      scope: "upstream",
      cause: `the next hop ${where}: ${said}`,
      remedy: "The reply names the reason; correct the upstream's settings or the next hop",
    };
  }
  const scope = stage === "rcpt" ? "recipient" : "message";
  if (!http && reply.code >= 500 && reply.code < 600) {
    if (microsoft && (reply.enhanced?.startsWith("5.7.") ?? false)) {
      return {
        id: "policy-refused",
        outcome: "hold",
        scope: "message",
        cause: `Microsoft refuses the message by policy: ${said}`,
        remedy: `Repair what the reply names; ${LEAVES_BY_ITSELF}`,
      };
    }
    return { id: "refused", outcome: "bounce", scope, cause: `the next hop refused it: ${said}`, remedy: "The reply names the reason" };
  }
  return { id: "deferred", outcome: "retry", scope, cause: `the next hop put it off: ${said}`, remedy: "None: it is tried again" };
}

const CORRUPT: Meaning = {
  id: "corrupt",
  outcome: "hold",
  scope: "message",
  cause: "the stored message fails its checksum and is not sent",
  remedy:
    "The disk or its controller damaged it: check the machine, ask for the scan again, then postern queue bounce QUEUEID (the sender is told) or postern queue delete QUEUEID",
};

/** Whatever else is wrong with a token, it is neither host nor port of the upstream. */
const TOKEN_TROUBLE = FAULTS.find(({ id }) => id === "authority-answer");

function meaningOfFault(fault: { readonly code: string; readonly detail: string }, stage: Stage, type: UpstreamType): Meaning {
  if (fault.code === "E_CONTENT_CORRUPT") return CORRUPT;
  const before = BEFORE_MAIL.has(stage);
  const row: FaultRow | undefined =
    FAULTS.find(
      ({ codes, stages, doors }) => codes.includes(fault.code) && stages?.includes(stage) !== false && doors?.includes(type) !== false,
    ) ??
    ENTRA.find((candidate) => candidate.codes.includes(fault.code)) ??
    (isEntraRefusal(fault) ? ENTRA.at(-1) : undefined) ??
    (stage === "token" ? TOKEN_TROUBLE : undefined);
  const cause = `${row?.cause ?? (before ? "the next hop cannot be used" : "the delivery broke off")} (${describeFault(fault, 300)})`;
  if (row === undefined)
    return {
      id: before ? "door-fault" : "fault",
      outcome: "retry",
      scope: before ? "upstream" : "message",
      cause,
      remedy: before
        ? "Check host and port of the upstream, and what stands on the way to it; it is tried again by itself"
        : "None: it is tried again",
    };
  // A fault of the network in the middle of a session says little about the next session; the next connect will tell.
  if (!before && row.scope === "upstream" && row.outcome === "retry") return { ...row, cause, scope: "message" };
  // An exception before mail says nothing against the message. What we know of the message itself stays its own, whenever it is found out.
  if (before && row.scope === "message" && row.outcome === "retry") return { ...row, cause, scope: "upstream" };
  return { ...row, cause };
}

/** Entra answered with a "no" (by number or by its OAuth word), rather than with trouble of its own. */
function isEntraRefusal(fault: { readonly code: string; readonly detail: string }): boolean {
  if (/temporarily_unavailable|server_error/.test(`${fault.code} ${fault.detail}`)) return false;
  return (
    /^AADSTS\d+$/.test(fault.code) ||
    /^(invalid_(client|grant|request|scope|resource)|unauthorized_client|unsupported_grant_type|(access_denied|(interaction|consent|login)_required))$/.test(
      fault.code,
    )
  );
}

const SILENT: Meaning = {
  id: "no-answer",
  outcome: "retry",
  scope: "message",
  cause: "no readable answer",
  remedy: "None: it is tried again",
};

/** An address fit to stand in a command that somebody may paste into a shell; else the placeholder stays. */
function filled(remedy: string, placeholder: string, address: string | undefined): string {
  return address !== undefined && /^[\w.+-]+@[\w.-]+$/.test(address) ? remedy.replaceAll(placeholder, address) : remedy;
}

/** The sign-in service of nearly everybody. */
const AUTHORITY = "login.microsoftonline.com:443";

/** What stands in a remedy's placeholders. */
export interface Placeholders {
  readonly mailbox: string | undefined;
  readonly ownAddress?: string | undefined;
  readonly sender: string;
  readonly upstream: string;
  readonly signInFrom?: Upstream["signInFrom"];
}

/** A remedy with what is known in place of `MAILBOX`, `OWN-ADDRESS`, `SENDER`, `UPSTREAM`, `AUTHORITY`, `PASSWORD-PLACE` and `SECRET-PLACE`. */
export function filledIn(remedy: string, { mailbox, ownAddress, sender, upstream, signInFrom }: Placeholders): string {
  const named = remedy
    .replaceAll("UPSTREAM", () => upstream)
    .replaceAll("AUTHORITY", () => signInFrom?.authority ?? AUTHORITY)
    .replaceAll("PASSWORD-PLACE", () => signInFrom?.password ?? "credential.password")
    .replaceAll("SECRET-PLACE", () => signInFrom?.secret ?? "credential.secret");
  return filled(filled(filled(named, "MAILBOX", mailbox), "OWN-ADDRESS", ownAddress), "SENDER", sender);
}

/** Where a meaning is of a mailbox or an organization, what that is on this door. */
function reachOf({ scope }: Meaning, stage: Stage, context: JudgeContext): Reach {
  if (scope === "tenant") return "upstream";
  if (scope !== "mailbox") return scope;
  const oneForAll = context.type === "smtp-auth" || context.mailbox !== undefined;
  return oneForAll || BEFORE_MAIL.has(stage) ? "upstream" : "sender";
}

/** What a refusal means. Also for probes, which have no message. */
export function judgeRefusal(refusal: Refusal, context: JudgeContext, transacted: Transacted = {}): Finding {
  const { stage, reply, fault, retryAfterMs } = refusal;
  const meaning =
    reply !== undefined
      ? meaningOfReply(reply, stage, transacted, context)
      : fault !== undefined
        ? meaningOfFault(fault, stage, context.type)
        : { ...SILENT, scope: BEFORE_MAIL.has(stage) ? ("upstream" as const) : ("message" as const) };
  // With a mailbox of each sender's own, the mailbox is the sender.
  const mailbox = context.mailbox ?? (meaning.scope === "mailbox" ? context.sender : undefined);
  const { upstream, ownAddress, sender, signInFrom } = context;
  const remedy = filledIn(meaning.remedy, { mailbox, ownAddress, sender, upstream, signInFrom });
  // How long the other side asks us to wait is better knowledge than the table's.
  const wait = retryAfterMs !== undefined && (meaning.outcome === "slow" || meaning.outcome === "retry") ? { waitMs: retryAfterMs } : {};
  const cause = meaning.cause.replaceAll("AUTHORITY", () => signInFrom?.authority ?? AUTHORITY);
  return { ...meaning, ...wait, scope: reachOf(meaning, stage, context), cause, remedy, stage, reply };
}

type Settling = Exclude<Verdict, { readonly kind: "next" }>;

function ownVerdict(finding: Finding, othersAccepted: boolean): Settling {
  switch (finding.outcome) {
    case "bounce":
      return { kind: "bounce", finding };
    case "hold": {
      if (finding.id === CORRUPT.id) return { kind: "hold", by: "corrupt", finding };
      // The others were taken, so the door is not closed: this recipient waits its turn.
      if (finding.scope === "upstream")
        return othersAccepted ? { kind: "retry", finding, ambiguous: false, waitMs: undefined } : { kind: "hold", by: "upstream", finding };
      return { kind: "hold", by: "sender", finding };
    }
    case "retry":
    case "slow":
      // A wait of zero is for the rest of a message that was split; where nobody was taken, and it is not cut smaller, it would be a loop.
      return {
        kind: "retry",
        finding,
        ambiguous: false,
        waitMs: finding.waitMs === 0 && !othersAccepted && finding.split !== true ? undefined : finding.waitMs,
      };
    default:
      return finding.outcome satisfies never;
  }
}

/** The verdict, and before it the next door where the finding leaves that open. From a closed door mail moves on by itself. */
function verdictOf(finding: Finding, othersAccepted: boolean): Verdict {
  const otherwise = ownVerdict(finding, othersAccepted);
  const closes = otherwise.kind === "hold" && otherwise.by === "upstream";
  return finding.next === true && !closes ? { kind: "next", finding, otherwise } : otherwise;
}

const SEVERITY = { unclear: 0, works: 1, pause: 2, slow: 3, hold: 4 } as const;

function effectOf(finding: Finding, othersAccepted: boolean): DoorEffect {
  if (finding.scope !== "upstream") return finding.reply === undefined ? UNCLEAR : WORKS;
  if (finding.outcome === "slow") return { kind: "slow", finding };
  if (othersAccepted) return WORKS;
  return finding.outcome === "hold" ? { kind: "hold", finding } : { kind: "pause", finding };
}

/**
 * Judges one attempt.
 *
 * @param addresses - the recipients that the attempt was made for
 * @param ownSender - it was made as from the door's own address
 */
export function judge(facts: AttemptFacts, addresses: readonly string[], context: JudgeContext, ownSender = false): Judgement {
  const accepted = facts.accepted !== undefined;
  const taken = accepted ? facts.recipients.filter(({ refusal }) => refusal === undefined) : [];
  const outsideTaken = taken.some(({ address }) => !context.isInternal(address));
  const severalRecipients = addresses.length > 1;
  const common = facts.refusal === undefined ? undefined : judgeRefusal(facts.refusal, context, { severalRecipients, ownSender });
  let shared: Verdict;
  if (facts.refusal?.fault?.code === "ABORTED" && !facts.ambiguous) shared = RETURN;
  else if (facts.ambiguous) {
    const cause = "the message was sent whole, but the answer was lost: it may have arrived";
    shared = {
      kind: "retry",
      ambiguous: true,
      waitMs: facts.refusal?.retryAfterMs,
      finding: { ...SILENT, id: "ambiguous", cause, scope: "message", stage: "final", reply: common?.reply },
    };
  } else if (common !== undefined) shared = verdictOf(common, false);
  else if (accepted) shared = { kind: "delivered", reply: facts.accepted };
  else
    shared = {
      kind: "retry",
      ambiguous: false,
      waitMs: undefined,
      finding: { ...SILENT, scope: "message", stage: "final", reply: undefined },
    };

  let door: DoorEffect = accepted
    ? WORKS
    : common === undefined || shared.kind === "return" || facts.ambiguous
      ? UNCLEAR
      : effectOf(common, false);
  const verdicts = addresses.map((address, index): Verdict => {
    const same = facts.recipients[index];
    const fact = same?.address === address ? same : facts.recipients.find((candidate) => candidate.address === address);
    if (fact?.refusal === undefined) return shared;
    const finding = judgeRefusal(fact.refusal, context, { othersOutsideAccepted: outsideTaken, ownSender });
    const effect = effectOf(finding, accepted);
    if (SEVERITY[effect.kind] > SEVERITY[door.kind]) door = effect;
    return verdictOf(finding, accepted);
  });
  return { verdicts, door };
}
