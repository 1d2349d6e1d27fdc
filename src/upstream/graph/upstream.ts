/** A way out by Microsoft Graph: `POST /users/{mailbox}/sendMail` with the message as base64 MIME. */
import { matchesPatterns } from "../../mail/address.ts";
import type { AddressPattern } from "../../mail/address.ts";
import { describeError, PosternError } from "../../mail/errors.ts";
import type { Emit } from "../../mail/events.ts";
import { formatReply } from "../../mail/reply.ts";
import type { Reply } from "../../mail/reply.ts";
import { addressEntries, parseAddressList } from "../../mime/addresses.ts";
import { HeaderBlock, headerIn, readHeader } from "../../mime/header-block.ts";
import type { Clock } from "../../platform/clock.ts";
import { orAborted } from "../oauth/or-aborted.ts";
import type { TokenSource } from "../oauth/token.ts";
import { faultAt } from "../smtp/fault.ts";
import type { AttemptFacts, Delivery, DoorTraits, Refusal, Upstream, UpstreamLimits } from "../upstream.ts";
import { refusalOf, replyOf, requestIdOf } from "./answers.ts";
import { sendDraft } from "./draft.ts";
import { planDraft } from "./draft-message.ts";
import type { DraftPlan } from "./draft-message.ts";
import type { GraphExchange, GraphHttp, GraphRequest } from "./http.ts";
import { base64Length, base64Pieces, readWhole } from "./mime-body.ts";
import { nameRecipients } from "./recipients.ts";
import { findInSentItems } from "./sent-items.ts";

/** Whose mailbox sends: one, or that of the message's own From: for those that may. */
export type GraphMailbox =
  | { readonly kind: "one"; readonly address: string }
  | {
      readonly kind: "from";
      readonly allow: readonly AddressPattern[];
      /** `organization.domains`. */
      readonly domains: readonly string[];
    };

export interface GraphUpstreamOptions {
  readonly name: string;
  readonly mailbox: GraphMailbox;
  readonly limits: UpstreamLimits;
  readonly traits: DoorTraits;
  readonly http: GraphHttp;
  readonly tokens: TokenSource;
  readonly credentialExpiresAt: () => number | undefined;
  /** Keeps the sign-in fresh in the background where it needs that; the returned function ends it. */
  readonly keepFresh?: (() => () => void) | undefined;
  /** What becomes of a message over the limit of MIME: it takes another door, or goes as a draft with attachments. */
  readonly largeMessages: "next" | "draft";
  /** For uploads, whose address Graph names. */
  readonly httpTo: (origin: string) => GraphHttp;
  /** `host:port`, for facts of attempts that never got there. */
  readonly place: string;
  readonly clock: Clock;
  readonly emit: Emit;
}

/**
 * Above this MIME was answered with 200 and lost; the limit in the configuration is for what devices send, and a few lines are added to that on
 * the way.
 */
const MOST_MIME_OCTETS = 2_100 * 1024;
/** Sent Items may show a message some seconds after it was sent. */
const LOOK_AGAIN_MS = 10_000;

/** What a request with a token came to. */
interface Asked {
  readonly exchange?: GraphExchange | undefined;
  /** No token was to be had. */
  readonly refusal?: Refusal | undefined;
}

/** A message that is ready to go: whole, or planned as a draft. */
interface Prepared {
  readonly user: string;
  readonly form: { readonly mime: Buffer } | { readonly plan: DraftPlan };
  readonly messageId: string | undefined;
  readonly note: string | undefined;
}

export class GraphUpstream implements Upstream {
  readonly name: string;
  readonly type = "graph";
  readonly limits: UpstreamLimits;
  readonly traits: DoorTraits;
  readonly mailbox: string | undefined;
  readonly #options: GraphUpstreamOptions;
  readonly #stopKeeping: (() => void) | undefined;
  /** The token that Graph was last seen to take. */
  #proved: string | undefined;

  constructor(options: GraphUpstreamOptions) {
    this.name = options.name;
    this.limits = options.limits;
    this.traits = options.traits;
    this.mailbox = options.mailbox.kind === "one" ? options.mailbox.address : undefined;
    this.#options = options;
    this.#stopKeeping = options.keepFresh?.();
  }

  get credentialExpiresAt(): number | undefined {
    return this.#options.credentialExpiresAt();
  }

  async attempt(delivery: Delivery, signal: AbortSignal): Promise<AttemptFacts> {
    const { clock } = this.#options;
    const startedAt = clock.monotonic();
    const unsent = (refusal: Refusal): AttemptFacts => this.#facts(delivery, startedAt, undefined, { refusal });
    if (signal.aborted) return unsent(faultAt("connect", "ABORTED", "stopped"));
    const prepared = await this.#prepare(delivery);
    if ("stage" in prepared) return unsent(prepared);
    if (delivery.ambiguous === true && prepared.messageId !== undefined) {
      const known = await this.#lookUp(delivery, prepared, prepared.messageId, signal);
      if (known !== undefined) return this.#facts(delivery, startedAt, known.exchange, known);
    }
    return await this.#send(delivery, prepared, startedAt, signal);
  }

  /** A token and a connection: more cannot be proved without sending, since the right to send shows in nothing else. */
  async probe(signal: AbortSignal): Promise<Refusal | undefined> {
    const token = await this.#token(signal);
    if ("stage" in token) return token;
    return await this.#options.http.tryConnection(signal);
  }

  async close(): Promise<void> {
    this.#stopKeeping?.();
    await this.#options.http.close();
  }

  // ---- before anything is sent -------------------------------------------------------------------------------------------

  async #prepare(delivery: Delivery): Promise<Prepared | Refusal> {
    try {
      if (delivery.sizeBytes <= MOST_MIME_OCTETS) {
        const whole = await readWhole(delivery.content, delivery.sizeBytes, MOST_MIME_OCTETS);
        const header = whole === undefined ? undefined : headerIn(whole);
        if (whole === undefined || header === undefined) return tooLarge(delivery.sizeBytes);
        const common = this.#address(header, delivery);
        if ("stage" in common) return common;
        const mime = header.isChanged ? Buffer.concat([...header.parts(), whole.subarray(header.octets.length)]) : whole;
        if (mime.length <= MOST_MIME_OCTETS) return { ...common, form: { mime } };
      }
      return this.#options.largeMessages === "draft" ? await this.#prepareDraft(delivery) : tooLarge(delivery.sizeBytes);
    } catch (error) {
      return faultAt("content", error instanceof PosternError ? error.code : "CONTENT", describeError(error));
    }
  }

  async #prepareDraft(delivery: Delivery): Promise<Prepared | Refusal> {
    const header = await readHeader(delivery.content);
    if (header === undefined) return tooLarge(delivery.sizeBytes);
    const common = this.#address(header, delivery);
    if ("stage" in common) return common;
    const named = header.isChanged ? new HeaderBlock(Buffer.concat(header.parts())) : header;
    const plan = await planDraft(named, delivery.content);
    return typeof plan === "string" ? tooLarge(delivery.sizeBytes, `and cannot go as a draft: ${plan}`) : { ...common, form: { plan } };
  }

  /** Whose mailbox sends, and to whom; changes the header. */
  #address(header: HeaderBlock, delivery: Delivery): Omit<Prepared, "form"> | Refusal {
    const mailbox = this.#mailboxOf(header, delivery);
    if (typeof mailbox !== "string") return mailbox;
    const named = nameRecipients(header, delivery.recipients, delivery.lastDoor === true);
    if ("stage" in named) return named;
    const idField = header.named("message-id")[0];
    const messageId = idField === undefined ? undefined : /<[^<>\s]+>/.exec(header.valueOf(idField))?.[0];
    return { user: `/v1.0/users/${encodeURIComponent(mailbox)}`, messageId, note: named.note };
  }

  /** The mailbox to send from. With `mailbox: from` the one that From: names, which Exchange would demand anyway. */
  #mailboxOf(header: HeaderBlock, delivery: Delivery): string | Refusal {
    const { mailbox } = this.#options;
    if (mailbox.kind === "one") return mailbox.address;
    const from = addressEntries(
      header.named("from").flatMap((field) => parseAddressList(header.octets.toString("latin1", field.valueStart, field.end))),
    );
    const only = from.length === 1 && from[0]?.kind === "mailbox" ? from[0].addresses[0] : undefined;
    const address = only ?? (from.length === 0 && delivery.reversePath !== "" ? delivery.reversePath : undefined);
    if (address === undefined) return faultAt("mail", "SENDER_NOT_ALLOWED", "From: does not name one sender whose mailbox could be used");
    if (matchesPatterns(address, mailbox.allow, mailbox.domains)) return address;
    return faultAt("mail", "SENDER_NOT_ALLOWED", `${address.slice(0, 200)} is not among the senders whose mailbox may be used (allow)`);
  }

  // ---- requests ----------------------------------------------------------------------------------------------------------

  async #send(delivery: Delivery, prepared: Prepared, startedAt: number, signal: AbortSignal): Promise<AttemptFacts> {
    const { form, user, note } = prepared;
    if ("plan" in form) return await this.#sendDraft(delivery, prepared, form.plan, startedAt, signal);
    const { exchange, refusal } = await this.#ask(
      {
        method: "POST",
        path: `${user}/sendMail`,
        contentType: "text/plain",
        body: { length: base64Length(form.mime.length), pieces: () => base64Pieces(form.mime) },
      },
      signal,
    );
    if (exchange === undefined) return this.#facts(delivery, startedAt, undefined, { refusal, note });
    return this.#facts(delivery, startedAt, exchange, { ...this.#outcomeOf(exchange), note });
  }

  /** What an answer to a request to send means for the message, or the lack of one. */
  #outcomeOf(exchange: GraphExchange): Partial<AttemptFacts> {
    const { answer, refusal, sentWhole } = exchange;
    // Handed over whole and not answered: Graph may have sent it. A look into Sent Items tells before the next try.
    if (answer === undefined) return { refusal, ambiguous: sentWhole };
    const upstreamId = requestIdOf(answer);
    if (answer.status === 202) return { accepted: replyOf(answer), upstreamId };
    // A gateway that gave up waiting does not know what became of the request.
    return { refusal: refusalOf(answer, 202, this.#options.clock.now()), ambiguous: answer.status === 504, upstreamId };
  }

  async #sendDraft(
    delivery: Delivery,
    { user, note }: Prepared,
    plan: DraftPlan,
    startedAt: number,
    signal: AbortSignal,
  ): Promise<AttemptFacts> {
    const { clock, httpTo } = this.#options;
    let uploads: { readonly origin: string; readonly http: GraphHttp } | undefined;
    try {
      const sent = await sendDraft(
        {
          ask: async (request, contentType) => await this.#ask({ ...request, contentType }, request.method === "DELETE" ? NEVER : signal),
          upload: async (url, request) => {
            if (uploads?.origin !== url.origin) {
              await uploads?.http.close();
              uploads = { origin: url.origin, http: httpTo(url.origin) };
            }
            return await uploads.http.exchange({ ...request, path: `${url.pathname}${url.search}` }, signal);
          },
          now: () => clock.now(),
        },
        user,
        plan,
        delivery.content,
      );
      const { exchange } = sent;
      const drafted = [note, `sent as a draft with ${plan.files.length} attachments, rebuilt from the message's parts`]
        .filter(Boolean)
        .join("; ");
      if (sent.sendingBegan && exchange !== undefined)
        return this.#facts(delivery, startedAt, exchange, { ...this.#outcomeOf(exchange), note: drafted });
      // Without the right to make drafts the door is open all the same for what goes as MIME.
      const refusal =
        sent.isForbidden && delivery.lastDoor !== true
          ? tooLarge(delivery.sizeBytes, "and the application may not make drafts (Mail.ReadWrite)")
          : sent.refusal;
      return this.#facts(delivery, startedAt, exchange, { refusal, note });
    } catch (error) {
      const refusal = faultAt("content", error instanceof PosternError ? error.code : "CONTENT", describeError(error));
      return this.#facts(delivery, startedAt, undefined, { refusal, note });
    } finally {
      await uploads?.http.close();
    }
  }

  /** @returns facts when the message need not or cannot be sent now; undefined when it is to be sent */
  async #lookUp(
    delivery: Delivery,
    { user }: Prepared,
    messageId: string,
    signal: AbortSignal,
  ): Promise<(Partial<AttemptFacts> & { readonly exchange: GraphExchange | undefined }) | undefined> {
    let asked: Asked = {};
    const ask = async (request: Omit<GraphRequest, "headers">): Promise<GraphExchange> => {
      asked = await this.#ask({ ...request, contentType: undefined }, signal);
      return (
        asked.exchange ?? {
          refusal: asked.refusal,
          sentWhole: false,
          reused: false,
          remote: this.#options.place,
          tls: undefined,
          readyAt: undefined,
        }
      );
    };
    for (let looks = 1; ; looks += 1) {
      const finding = await findInSentItems(ask, user, messageId, delivery);
      if (finding.kind === "found") {
        const accepted: Reply = { code: 202, text: "Accepted in an earlier attempt: Sent Items holds the message" };
        const note = `not sent again: the answer to an earlier attempt was lost, and Sent Items holds the message (${finding.id.slice(0, 200)})`;
        return { accepted, note, exchange: asked.exchange };
      }
      if (finding.kind === "unreadable") return undefined;
      if (finding.kind === "failed") {
        const { answer, refusal } = finding.exchange;
        const said = answer === undefined ? refusal : refusalOf(answer, 200, this.#options.clock.now());
        return { refusal: said?.fault?.code === "GRAPH_STATUS_200" ? UNREADABLE_LIST : said, exchange: finding.exchange };
      }
      if (looks === 2) return undefined;
      if (!(await this.#pause(LOOK_AGAIN_MS, signal)))
        return { refusal: faultAt("connect", "ABORTED", "stopped while looking into Sent Items"), exchange: asked.exchange };
    }
  }

  /** One request with a token; a token that is refused is replaced once, since it may be older than the permission. */
  async #ask(request: Omit<GraphRequest, "headers"> & { readonly contentType: string | undefined }, signal: AbortSignal): Promise<Asked> {
    const { http, tokens, emit } = this.#options;
    const { contentType, ...rest } = request;
    for (let tries = 1; ; tries += 1) {
      const token = await this.#token(signal);
      if ("stage" in token) return { refusal: token };
      const headers: Record<string, string> = { authorization: `Bearer ${token.value}`, accept: "application/json" };
      if (contentType !== undefined) headers["content-type"] = contentType;
      const exchange = await http.exchange({ ...rest, headers }, signal);
      const { answer } = exchange;
      if (answer === undefined) return { exchange };
      const reply = replyOf(answer);
      emit({ type: "upstream.replied", upstream: this.name, stage: "final", reply });
      if (answer.status !== 401) {
        if (answer.status < 500 && this.#proved !== token.value) {
          this.#proved = token.value;
          emit({ type: "upstream.auth.succeeded", upstream: this.name });
        }
        return { exchange };
      }
      tokens.drop(token.value);
      if (tries === 2) {
        emit({ type: "upstream.auth.failed", upstream: this.name, cause: formatReply(reply), reply });
        return { exchange };
      }
    }
  }

  async #token(signal: AbortSignal): Promise<Extract<Awaited<ReturnType<TokenSource["get"]>>, { value: string }> | Refusal> {
    const token = await orAborted(this.#options.tokens.get(), signal);
    if ("stage" in token && token.fault?.code !== "ABORTED") {
      const cause = token.reply === undefined ? `${token.fault?.code ?? ""}: ${token.fault?.detail ?? ""}` : formatReply(token.reply);
      this.#options.emit({ type: "upstream.auth.failed", upstream: this.name, cause, reply: token.reply });
    }
    return token;
  }

  /** @returns false when it was ended by the signal */
  async #pause(ms: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    return await new Promise((resolve) => {
      const stop = (): void => {
        cancel();
        resolve(false);
      };
      const cancel = this.#options.clock.after(ms, () => {
        signal.removeEventListener("abort", stop);
        resolve(true);
      });
      signal.addEventListener("abort", stop, { once: true });
    });
  }

  #facts(delivery: Delivery, startedAt: number, exchange: GraphExchange | undefined, what: Partial<AttemptFacts>): AttemptFacts {
    const { clock, place } = this.#options;
    const { refusal, accepted, upstreamId, note, ambiguous = false } = what;
    const now = clock.monotonic();
    const readyAt = exchange?.readyAt ?? now;
    return {
      remote: exchange?.remote ?? place,
      tls: exchange?.tls,
      reusedConnection: exchange?.reused ?? false,
      connectMs: Math.max(0, readyAt - startedAt),
      transmitMs: Math.max(0, now - readyAt),
      refusal,
      accepted,
      recipients: delivery.recipients.map((address) => ({ address })),
      upstreamId,
      ambiguous,
      note,
    };
  }
}

const UNREADABLE_LIST = faultAt("final", "PROTOCOL", "Graph's list of Sent Items cannot be read");

/** What takes away a draft goes on when all else is stopped: its own time limits end it. */
const NEVER = new AbortController().signal;

function tooLarge(octets: number, why = ""): Refusal {
  return faultAt("mail", "TOO_LARGE", `${octets} octets, sendMail takes ${MOST_MIME_OCTETS} ${why}`.trimEnd());
}
