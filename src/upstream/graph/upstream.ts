/** A way out by Microsoft Graph: `POST /users/{mailbox}/sendMail` with the message as base64 MIME. */
import { isWritable } from "../../mail/address.ts";
import { describeError, PosternError } from "../../mail/errors.ts";
import type { Emit } from "../../mail/events.ts";
import type { TranscriptKeeper } from "../../mail/transcript.ts";
import type { Reply } from "../../mail/reply.ts";
import type { Clock } from "../../platform/clock.ts";
import { claimsOf } from "../oauth/claims.ts";
import { orAborted } from "../or-aborted.ts";
import type { TokenSource } from "../oauth/token.ts";
import { Dialogue, keepTranscript } from "../dialogue.ts";
import { faultAt } from "../smtp/fault.ts";
import type { AttemptFacts, Delivery, Diagnosis, DoorTraits, Refusal, Trial, Upstream, UpstreamLimits } from "../upstream.ts";
import { refusalOf, replyOf, requestIdOf } from "./answers.ts";
import { sendDraft } from "./draft.ts";
import type { DraftPlan } from "./draft-message.ts";
import type { GraphExchange, GraphHttp, GraphRequest } from "./http.ts";
import { base64Length, base64Pieces } from "./mime-body.ts";
import { prepare } from "./prepare.ts";
import type { Prepared, PrepareRules } from "./prepare.ts";
import { UNWRITABLE } from "./recipients.ts";
import { TokenRequests } from "./requests.ts";
import type { Asked, AskedRequest } from "./requests.ts";
import { findInSentItems } from "./sent-items.ts";

export interface GraphUpstreamOptions extends PrepareRules {
  readonly name: string;
  readonly limits: UpstreamLimits;
  readonly traits: DoorTraits;
  readonly http: GraphHttp;
  readonly tokens: TokenSource;
  readonly signInFrom?: Upstream["signInFrom"];
  readonly credentialExpiresAt: () => number | undefined;
  /** Keeps the sign-in fresh in the background where it needs that; the returned function ends it. */
  readonly keepFresh?: (() => () => void) | undefined;
  /** For uploads, whose address Graph names. */
  readonly httpTo: (origin: string) => GraphHttp;
  /** `host:port`, for facts of attempts that never got there. */
  readonly place: string;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly transcripts?: TranscriptKeeper | undefined;
}

/** Sent Items may show a message some seconds after it was sent. */
const LOOK_AGAIN_MS = 10_000;

export class GraphUpstream implements Upstream {
  readonly name: string;
  readonly type = "graph";
  readonly limits: UpstreamLimits;
  readonly traits: DoorTraits;
  readonly mailbox: string | undefined;
  readonly signInFrom: Upstream["signInFrom"];
  readonly #options: GraphUpstreamOptions;
  readonly #stopKeeping: (() => void) | undefined;
  readonly #requests: TokenRequests;

  constructor(options: GraphUpstreamOptions) {
    this.name = options.name;
    this.limits = options.limits;
    this.traits = options.traits;
    this.mailbox = options.mailbox.kind === "one" ? options.mailbox.address : undefined;
    this.signInFrom = options.signInFrom;
    this.#options = options;
    this.#requests = new TokenRequests({ ...options, upstream: options.name });
    this.#stopKeeping = options.keepFresh?.();
  }

  get credentialExpiresAt(): number | undefined {
    return this.#options.credentialExpiresAt();
  }

  async attempt(delivery: Delivery, signal: AbortSignal): Promise<AttemptFacts> {
    const { clock, transcripts } = this.#options;
    const dialogue = (transcripts?.of ?? "off") === "off" ? undefined : new Dialogue(clock);
    const facts = await this.#attempt(delivery, dialogue, signal);
    keepTranscript(transcripts, { upstream: this.name, queueId: delivery.queueId, clock }, facts, dialogue);
    return facts;
  }

  async #attempt(delivery: Delivery, dialogue: Dialogue | undefined, signal: AbortSignal): Promise<AttemptFacts> {
    const { clock } = this.#options;
    const startedAt = clock.monotonic();
    const unsent = (refusal: Refusal): AttemptFacts => this.#facts(delivery, startedAt, undefined, { refusal });
    if (signal.aborted) return unsent(faultAt("connect", "ABORTED", "stopped"));
    const prepared = await prepare(delivery, this.#options);
    if ("stage" in prepared) return unsent(prepared);
    if (delivery.ambiguous === true && prepared.messageId !== undefined) {
      const known = await this.#lookUp(delivery, prepared, prepared.messageId, dialogue, signal);
      if (known !== undefined) return this.#facts(delivery, startedAt, known.exchange, known);
    }
    return await this.#send(delivery, prepared, startedAt, dialogue, signal);
  }

  /** A token and a connection: more cannot be proved without sending, since the right to send shows in nothing else. */
  async probe(signal: AbortSignal): Promise<Refusal | undefined> {
    const token = await this.#requests.token(signal);
    if ("stage" in token) return token;
    return await this.#options.http.tryConnection(signal);
  }

  /** Token and connection, like a probe: the right to send shows in nothing but a message that was sent. */
  async diagnose(_trial: Trial, signal: AbortSignal): Promise<Diagnosis> {
    const { http, tokens, place } = this.#options;
    // At the same time: a host that swallows packets must not use up the time of the sign-in.
    const [unconnected, token] = await Promise.all([http.tryConnection(signal), orAborted("token", tokens.fresh(), signal)]);
    const refused = "stage" in token ? token : undefined;
    return {
      stages: [
        { stage: "connect", refusal: unconnected },
        { stage: "token", refusal: refused },
      ],
      places: [place],
      token: "value" in token ? claimsOf(token.value) : undefined,
      recipients: [],
    };
  }

  async close(): Promise<void> {
    this.#stopKeeping?.();
    await this.#options.http.close();
  }

  async #send(
    delivery: Delivery,
    prepared: Prepared,
    startedAt: number,
    dialogue: Dialogue | undefined,
    signal: AbortSignal,
  ): Promise<AttemptFacts> {
    const { form, user, note } = prepared;
    if ("plan" in form) return await this.#sendDraft(delivery, prepared, form.plan, startedAt, dialogue, signal);
    const { exchange, refusal } = await this.#ask(
      dialogue,
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

  async #ask(dialogue: Dialogue | undefined, request: AskedRequest, signal: AbortSignal): Promise<Asked> {
    const asked = await this.#requests.ask(request, signal);
    record(dialogue, request, asked);
    return asked;
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
    dialogue: Dialogue | undefined,
    signal: AbortSignal,
  ): Promise<AttemptFacts> {
    const { clock, httpTo } = this.#options;
    let uploads: { readonly origin: string; readonly http: GraphHttp } | undefined;
    try {
      const sent = await sendDraft(
        {
          ask: async (request, contentType) =>
            await this.#ask(dialogue, { ...request, contentType }, request.method === "DELETE" ? NEVER : signal),
          upload: async (url, request) => {
            if (uploads?.origin !== url.origin) {
              await uploads?.http.close();
              uploads = { origin: url.origin, http: httpTo(url.origin) };
            }
            const exchange = await uploads.http.exchange({ ...request, path: `${url.pathname}${url.search}` }, signal);
            record(dialogue, { ...request, path: url.pathname }, { exchange });
            return exchange;
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
      return this.#facts(delivery, startedAt, exchange, { refusal: sent.refusal, note });
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
    dialogue: Dialogue | undefined,
    signal: AbortSignal,
  ): Promise<(Partial<AttemptFacts> & { readonly exchange: GraphExchange | undefined }) | undefined> {
    let asked: Asked = {};
    const ask = async (request: Omit<GraphRequest, "headers">): Promise<GraphExchange> => {
      asked = await this.#ask(dialogue, request, signal);
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
        return {
          refusal: said?.fault?.code === "GRAPH_STATUS_200" || said?.fault?.code === "GRAPH_PAGE" ? UNREADABLE_LIST : said,
          exchange: finding.exchange,
        };
      }
      if (looks === 2) return undefined;
      if (!(await this.#pause(LOOK_AGAIN_MS, signal)))
        return { refusal: faultAt("connect", "ABORTED", "stopped while looking into Sent Items"), exchange: asked.exchange };
    }
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
      recipients: delivery.recipients.map((address) =>
        refusal !== undefined || isWritable(address) ? { address } : { address, refusal: UNWRITABLE },
      ),
      upstreamId,
      ambiguous,
      note,
    };
  }
}

/** Method, path, size; status and error. Never a query, which may hold what lets its bearer in, nor a body. */
function record(dialogue: Dialogue | undefined, { method, path, body }: Omit<GraphRequest, "headers">, { exchange, refusal }: Asked): void {
  if (dialogue === undefined) return;
  dialogue.sent(`${method} ${path.replace(/\?.*$/, "")}${body === undefined ? "" : ` (${body.length} octets)`}`);
  const said = refusal ?? exchange?.refusal;
  if (exchange?.answer !== undefined) {
    const { code, text } = replyOf(exchange.answer);
    dialogue.received(`${code} ${text}`);
  } else if (said !== undefined) {
    dialogue.happened(said.reply === undefined ? `${said.fault?.code ?? ""} at ${said.stage}` : `${said.reply.code} at ${said.stage}`);
  }
}

const UNREADABLE_LIST = faultAt("final", "PROTOCOL", "Graph's list of Sent Items cannot be read");

/** What takes away a draft goes on when all else is stopped: its own time limits end it. */
const NEVER = new AbortController().signal;
