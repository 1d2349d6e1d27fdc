/**
 * What would become of a message, without sending it: the client that its address belongs to, the replies that it would get, and the way out of
 * each recipient. Every answer comes from the code that the daemon runs.
 */
import type { Config } from "../config/config.ts";
import type { Admission } from "../devices/admissions.ts";
import type { DoorBoard } from "../deliver/door-board.ts";
import type { Misfit } from "../deliver/fit.ts";
import { planSender } from "../deliver/sender-plan.ts";
import { canonicalAddress, isNonAscii } from "../mail/address.ts";
import type { Envelope } from "../mail/message.ts";
import { formatReply, type Reply } from "../mail/reply.ts";
import { Directory } from "../receive/directory.ts";
import { tooLarge } from "../receive/intake.ts";
import { canonicalPeer } from "../receive/networks.ts";
import type { ClientOptions } from "../receive/options.ts";
import { judgeRecipient, judgeSender } from "../receive/policy.ts";
import { notAllowed, REPLIES } from "../receive/replies.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { buildClients, doorLimits } from "./listening.ts";
import { buildRouter } from "./routing.ts";

/** What is asked. */
export interface ExplainRequest {
  readonly ip: string;
  /** The reverse-path; empty for `<>`. */
  readonly from: string;
  readonly to: readonly string[];
  /** Octets; undefined: as good as none. */
  readonly sizeBytes: number | undefined;
  /** undefined: the first that lets the user in, else the address. */
  readonly listener: string | undefined;
  readonly user: string | undefined;
}

/** What is known besides the configuration. */
export interface ExplainSources {
  readonly config: Config;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /** How the doors are now; without it all are taken for open. */
  readonly board: DoorBoard | undefined;
  /** Whom the daemon lets in besides the networks. */
  readonly admit: (address: string, listener: string) => Promise<Admission | undefined>;
}

/** One door of a recipient's route, in order. */
export interface ExplainedDoor {
  readonly name: string;
  readonly type: string;
  /** Why it cannot take this recipient; undefined where it can. */
  readonly misfit: Misfit | undefined;
  /** The reverse-path that it would go out with; empty for `<>`. */
  readonly sendsAs: string;
  /** It would take it now. */
  readonly chosen: boolean;
}

export interface ExplainedRecipient {
  readonly given: string;
  /** As it goes on, with its domain. */
  readonly recipient: string | undefined;
  /** What RCPT is answered where it is refused. */
  readonly refusal: string | undefined;
  readonly route: string | undefined;
  readonly doors: readonly ExplainedDoor[];
}

export interface Explanation {
  /** Sender and every recipient would be accepted. */
  readonly accepted: boolean;
  readonly address: string;
  readonly listener: string;
  readonly client: string | undefined;
  /** Who signed in; undefined where nobody was asked for, or the listener does not let this one in. */
  readonly user: string | undefined;
  /** How the address is let in: by the client's networks, an operator's word, learning, a name, or only because somebody signs in. */
  readonly admittedBy: "network" | "user" | Admission["how"] | undefined;
  /** The greeting where it is refused, or what MAIL is answered before somebody signed in. */
  readonly refusal: string | undefined;
  readonly sender: {
    readonly given: string;
    readonly sender: string | undefined;
    /** Where another address takes the place of the given one. */
    readonly replaces: string | undefined;
    readonly refusal: string | undefined;
  };
  /** What MAIL is answered where it names a size that is not taken. */
  readonly sizeRefusal: string | undefined;
  /** The largest message that is taken from this client to these recipients, octets. */
  readonly sizeLimitBytes: number | undefined;
  readonly recipients: readonly ExplainedRecipient[];
}

/** Explains one message. Sends nothing and writes nothing. */
export async function explain(request: ExplainRequest, sources: ExplainSources): Promise<Explanation> {
  const { config } = sources;
  const address = canonicalPeer(request.ip);
  const found = await findClient(address, request, sources);
  const nothing = { given: request.from, sender: undefined, replaces: undefined, refusal: undefined };
  if (found.client === undefined) {
    const refusal = formatReply(found.refusal ?? notAllowed(config.hostname, address));
    const { listener } = found;
    return {
      accepted: false,
      address,
      listener,
      client: undefined,
      user: undefined,
      admittedBy: undefined,
      refusal,
      sender: nothing,
      sizeRefusal: undefined,
      sizeLimitBytes: undefined,
      recipients: [],
    };
  }
  const { client, listener, admittedBy, user } = found;
  const own = { own: config.organization.domains, first: config.organization.domains[0] };
  const about = { address, listener, client: client.name, user, admittedBy, refusal: undefined };
  const verdict = judgeSender(request.from === "" ? "" : canonicalAddress(request.from), client, own);
  if (verdict.kind === "refused") {
    const sender = { ...nothing, refusal: formatReply(verdict.reply) };
    return { ...about, accepted: false, sender, sizeRefusal: undefined, sizeLimitBytes: undefined, recipients: [] };
  }

  const router = buildRouter(config, sources.upstreams, sources.board);
  const limits = doorLimits(router, sources.upstreams);
  const judged = request.to.map((given) => ({ given, verdict: judgeRecipient(canonicalAddress(given), client, own) }));
  const accepted = judged.flatMap((one) => (one.verdict.kind === "accepted" ? [one.verdict.recipient] : []));
  const limitOf = (recipients: readonly string[]): number =>
    Math.min(client.maxMessageSizeBytes, limits(client.name, verdict.sender, recipients));
  const { sizeBytes } = request;
  const oversize = (limitBytes: number): Reply | undefined =>
    sizeBytes !== undefined && sizeBytes > limitBytes ? tooLarge(limitBytes) : undefined;
  const atMail = oversize(limitOf([]));
  const envelope = envelopeOf({ ...request, user }, listener, client, verdict.sender, accepted);
  const recipients = judged.map(({ given, verdict: its }): ExplainedRecipient => {
    if (its.kind === "refused") {
      return { given, recipient: undefined, refusal: formatReply(its.reply), route: undefined, doors: [] };
    }
    const { recipient } = its;
    const { route, doors } = router.find(envelope, recipient);
    const chosen = router.choose(envelope, recipient);
    const tooLargeHere = oversize(limitOf([recipient]));
    return {
      given,
      recipient,
      refusal: tooLargeHere === undefined ? undefined : formatReply(tooLargeHere),
      route: route.name,
      doors: doors.map(({ door, misfit }) => ({
        name: door,
        type: config.upstreams[door]?.type ?? "",
        misfit,
        sendsAs: sendsAs(envelope, sources.upstreams.get(door), config.organization.domains),
        chosen: door === chosen && misfit === undefined && tooLargeHere === undefined,
      })),
    };
  });
  return {
    ...about,
    accepted: atMail === undefined && recipients.every(({ refusal }) => refusal === undefined),
    sender: {
      given: request.from,
      sender: verdict.sender,
      replaces: verdict.original,
      refusal: undefined,
    },
    sizeRefusal: atMail === undefined ? undefined : formatReply(atMail),
    sizeLimitBytes: limitOf(accepted),
    recipients,
  };
}

function sendsAs(envelope: Envelope, upstream: Upstream | undefined, domains: readonly string[]): string {
  return upstream === undefined ? envelope.reversePath : planSender(envelope, upstream, domains, false).reversePath;
}

interface FoundClient {
  readonly listener: string;
  readonly client: ClientOptions | undefined;
  readonly admittedBy: Explanation["admittedBy"];
  /** Who signed in. */
  readonly user?: string | undefined;
  /** Where the connection is taken, but nothing before somebody signed in. */
  readonly refusal?: Reply | undefined;
}

/** The client on the wanted listener, else on the first that lets the user in, else on the first that lets the address in. */
async function findClient(
  address: string,
  { listener: wanted, user }: ExplainRequest,
  { config, admit }: ExplainSources,
): Promise<FoundClient> {
  const clients = buildClients(config);
  const names = wanted === undefined ? Object.keys(config.listeners) : [wanted];
  const places = names.map((listener) => ({
    listener,
    directory: new Directory(listener, config.listeners[listener]?.auth ?? "none", clients),
  }));
  const isKnown = places.some(({ directory }) => directory.find(address) !== undefined);
  const found: FoundClient[] = [];
  for (const { listener, directory } of places) {
    const client = directory.find(address);
    // Those that an operator or a name lets in are asked for only where no network does.
    const admission = isKnown ? undefined : await admit(address, listener);
    const admitted = client ?? (admission === undefined ? undefined : directory.named(admission.client));
    const admittedBy = client === undefined ? admission?.how : "network";
    found.push(entered(directory, { listener, client: admitted, admittedBy }, user));
  }
  const nobody = { listener: names[0] ?? "", client: undefined, admittedBy: undefined };
  return (
    found.find((place) => place.user !== undefined) ??
    found.find(({ client }) => client !== undefined) ??
    // A stranger without a user is shown the door where nobody signs in, if there is such a listener.
    (isKnown || user !== undefined ? undefined : found.find(({ refusal }) => refusal === undefined)) ??
    found.find(({ refusal }) => refusal !== undefined) ??
    found[0] ??
    nobody
  );
}

/** What an address is on a listener once its user, if there is one, signed in. */
function entered(directory: Directory, place: FoundClient, user: string | undefined): FoundClient {
  const standing = directory.standing(place.client);
  if ("refused" in standing) return { ...place, client: undefined, admittedBy: undefined };
  const signedIn = user === undefined ? undefined : standing.signIn?.clientOf(user);
  if (signedIn !== undefined)
    return { ...place, client: signedIn, user, admittedBy: signedIn === place.client ? place.admittedBy : "user" };
  if (standing.client !== undefined) return { ...place, client: standing.client };
  const refusal = user === undefined ? REPLIES.authRequired : REPLIES.authFailed;
  return { ...place, client: undefined, admittedBy: undefined, refusal };
}

function envelopeOf(
  request: ExplainRequest,
  listener: string,
  client: ClientOptions,
  reversePath: string,
  recipients: readonly string[],
): Envelope {
  return {
    reversePath,
    recipients,
    origin: { listener, client: client.name, device: canonicalPeer(request.ip), user: request.user },
    kind: "mail",
    priority: client.priority,
    smtpUtf8: [reversePath, ...recipients].some(isNonAscii),
    eightBit: false,
    sizeBytes: request.sizeBytes ?? 0,
    messageId: "",
    repairs: [],
    sessionStartedAt: 0,
  };
}
