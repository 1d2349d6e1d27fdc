/** `/queue`: mail, recipient by recipient; what became of it; and what an operator does about it. */
import { HOLDERS, PRIORITIES } from "../../mail/message.ts";
import type { OperatorAct, QueueFilter } from "../../queue/queue.ts";
import { RequestFault } from "../fault.ts";
import type { AdminSources, Operator } from "../sources.ts";
import { z } from "./engine.ts";
import { integerOr, list, listed, moment, queueId, queueIds, Reply, State, states, text, time } from "./fields.ts";
import { jsonRoute, streamRoute, type Route } from "./route.ts";

/** What an operator can do to mail, and what that means. */
const VERBS: Readonly<Record<OperatorAct["verb"], string>> = {
  retry: "Try waiting mail now, and the doors that it waits for",
  hold: "Keep mail back until it is released",
  release: "Let held mail go",
  bounce: "Give up mail; its sender gets a report",
  delete: "Delete mail for good; nobody is told",
};
const MOST_LISTED = 1000;
const USUALLY_LISTED = 100;

const FILTER = {
  lane: text("Only what waits for this upstream.").exactOptional(),
  client: text("Only mail of this client.").exactOptional(),
  device: text("Only mail of the device with this address.").exactOptional(),
  from: text("Only mail whose sender contains this; <> is mail without a sender.").exactOptional(),
  to: text("Only recipients that contain this.").exactOptional(),
  acceptedBefore: moment("Only mail accepted before.").exactOptional(),
};

const Entry = z
  .strictObject({
    queueId: z.string(),
    acceptedAt: time("When the message was accepted."),
    reversePath: z.string().describe("Sender of the envelope; empty for none."),
    recipient: z.string(),
    state: State,
    heldBy: z.enum(HOLDERS).optional().describe("Who holds it, where its state is held."),
    lane: z.string().describe("Upstream that it waits for, or left by."),
    client: z.string(),
    device: z.string(),
    sizeBytes: z.number(),
    attempts: z.number().describe("Attempts finished."),
    dueAt: time("Next attempt, where it waits for time.").optional(),
    changedAt: time("When its state changed last."),
    cause: z.string().optional(),
    reply: Reply.optional(),
  })
  .meta({ id: "QueueEntry", description: "One recipient with its message." });

const Delays = z
  .strictObject({ beforeQueueMs: z.number(), inQueueMs: z.number(), connectMs: z.number(), transmitMs: z.number() })
  .describe("Session start to 250, 250 to attempt, attempt to ready connection, ready connection to reply.");

const Attempt = z
  .strictObject({
    number: z.number(),
    recipients: list(z.string()),
    startedAt: time("Its start."),
    upstream: z.string(),
    remote: z.string().optional().describe("Host and port that were reached."),
    tls: z.string().optional(),
    stage: z.string().describe("Protocol stage that decided the outcome."),
    outcome: z.enum(["delivered", "deferred", "held", "bounced", "ambiguous"]),
    reply: Reply.optional(),
    fault: z.string().optional().describe("What went wrong where there was no reply."),
    upstreamId: z.string().optional().describe("The next hop's own id of the message."),
    remedy: z.string().optional(),
    note: z.string().optional(),
    delays: Delays,
    counted: z
      .strictObject({ messages: z.number(), recipients: z.number(), external: z.number(), bytes: z.number(), endedAt: time("Its end.") })
      .optional()
      .describe("What it used of the upstream's limits."),
  })
  .meta({ id: "Attempt", description: "One try at delivering a message." });

const Message = z
  .strictObject({
    queueId: z.string(),
    acceptedAt: time("Commit of the acceptance."),
    reversePath: z.string(),
    recipients: list(z.string()),
    originalSender: z.string().optional().describe("The sender as the device gave it, where policy replaced it."),
    origin: z.strictObject({
      listener: z.string(),
      client: z.string(),
      device: z.string(),
      user: z.string().optional(),
      helo: z.string().optional(),
      tls: z.string().optional(),
    }),
    kind: z.enum(["mail", "report", "alert"]),
    priority: z.enum(PRIORITIES),
    smtpUtf8: z.boolean(),
    eightBit: z.boolean(),
    signed: z.boolean().optional(),
    longLines: z.boolean().optional(),
    via: z
      .union([z.string(), list(z.string())])
      .optional()
      .describe("The only upstreams it may leave by: a test mail's, an alert's."),
    returned: z.boolean().optional(),
    sizeBytes: z.number(),
    messageId: z.string(),
    headerFrom: z.string().optional(),
    subject: z.string().optional().describe("Only with log.subjects."),
    repairs: list(z.string()),
    sessionStartedAt: time("Start of the SMTP session."),
  })
  .meta({ id: "Message", description: "What was fixed when the message was accepted." });

const View = z
  .strictObject({
    message: Message,
    entries: list(Entry),
    attempts: list(Attempt),
    history: list(z.strictObject({ at: time("When."), what: z.string(), by: z.string().optional() })),
    hasContent: z.boolean().describe("False once the content was deleted."),
  })
  .meta({ id: "MessageView", description: "Everything known of one message." });

const Acted = z
  .strictObject({
    changed: list(z.strictObject({ queueId: z.string(), recipient: z.string(), lane: z.string() })).describe(
      "Recipients that it did something to: the first 1,000.",
    ),
    recipients: z.number().describe("How many it did something to."),
    messages: z.number().describe("Of how many messages they are."),
    busy: z.number().describe("Recipients that are being delivered right now: not touched."),
  })
  .meta({ id: "ActResult", description: "What an act did." });

const Id = z.strictObject({ id: queueId() });

export const QUEUE_ROUTES: readonly Route[] = [
  jsonRoute(
    {
      method: "get",
      path: "/queue",
      role: "viewer",
      summary: "List recipients, oldest first",
      query: z.strictObject({
        id: listed(queueIds()).exactOptional().describe("Only these queue ids."),
        state: listed(states()).exactOptional().describe("Only these states."),
        ...FILTER,
        limit: integerOr(USUALLY_LISTED, 1, MOST_LISTED, "Most recipients to list."),
        after: text("Queue id to go on after: the last one of the list before.").optional(),
      }),
      answer: z.strictObject({ entries: list(Entry) }),
    },
    async ({ queue }, { query: { id, state, limit, after, ...rest } }) => ({
      entries: await queue.list(
        { ...rest, ...(id === undefined ? {} : { ids: id }), ...(state === undefined ? {} : { states: state }) },
        limit,
        after,
      ),
    }),
  ),
  jsonRoute(
    {
      method: "get",
      path: "/queue/:id",
      role: "viewer",
      summary: "Everything known of one message",
      params: Id,
      answer: View,
      faults: { 404: "No message has this queue id." },
    },
    async (sources, { params: { id }, caller }) => {
      const view = await sources.queue.show(id);
      if (view === undefined) throw unknownMessage(id);
      if (caller.role !== "viewer" || sources.subjectsShown()) return view;
      const { subject: _, ...message } = view.message;
      return { ...view, message };
    },
  ),
  streamRoute(
    {
      method: "get",
      path: "/queue/:id/content",
      role: "operator",
      summary: "A message as it is stored (.eml)",
      description: "Who looked is in the log.",
      params: Id,
      answer: z.string().describe("Header and body, octets as received."),
      type: "message/rfc822",
      faults: { 404: "No message has this queue id, or its content is not stored any more." },
    },
    async ({ queue, emit }, { params: { id }, operator }) => {
      if ((await queue.show(id)) === undefined) throw unknownMessage(id);
      const first = await queue.contentRow(id, 0);
      if (first === undefined)
        throw new RequestFault(
          404,
          "E_NO_SUCH_MESSAGE",
          `the content of ${id} is not stored any more: it was deleted with its last recipient, or history.failed_content after it failed`,
        );
      emit({ type: "operator.acted", verb: "export", queueIds: [id], recipients: 0, operator: operator.name, declared: operator.declared });
      return {
        stream: contentStream(queue, id, first),
        headers: { "content-disposition": `attachment; filename="${id}.eml"`, "content-security-policy": "sandbox" },
      };
    },
  ),
  ...(Object.entries(VERBS) as [OperatorAct["verb"], string][]).map(([verb, summary]) =>
    jsonRoute(
      {
        method: "post",
        path: `/queue/${verb}`,
        role: "operator",
        summary,
        description: "Give either ids or filter; an empty filter means everything.",
        acts: true,
        body: z.strictObject({
          ids: queueIds().optional().describe("Queue ids."),
          filter: z
            .strictObject(
              { ids: queueIds().exactOptional(), states: states().exactOptional(), ...FILTER },
              { error: () => "expected an object" },
            )
            .optional(),
        }),
        answer: Acted,
      },
      async (sources, { body: { ids, filter }, operator }) => await act(sources, verb, ids, filter, operator),
    ),
  ),
];

async function act(
  { queue, emit }: AdminSources,
  verb: OperatorAct["verb"],
  ids: readonly string[] | undefined,
  filter: QueueFilter | undefined,
  operator: Operator,
): Promise<z.output<typeof Acted>> {
  const chosen = ids === undefined ? filter : { ids };
  if (chosen === undefined || (ids !== undefined && filter !== undefined))
    throw new RequestFault(400, "filter", "give either ids or filter; an empty filter means all");
  const result = await queue.act({ verb, filter: chosen, by: operator.name });
  const queueIds = [...new Set(result.changed.map((entry) => entry.queueId))];
  emit({ type: "operator.acted", verb, queueIds, recipients: result.recipients, operator: operator.name, declared: operator.declared });
  return result;
}

/** Row by row, as fast as it is taken. */
function contentStream(queue: AdminSources["queue"], id: string, first: Uint8Array): ReadableStream<Uint8Array> {
  let place = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const row = place === 0 ? first : await queue.contentRow(id, place);
        place += 1;
        if (row === undefined) controller.close();
        else controller.enqueue(row);
      },
    },
    { highWaterMark: 0 },
  );
}

function unknownMessage(id: string): RequestFault {
  return new RequestFault(404, "E_NO_SUCH_MESSAGE", `no message has the queue id ${id}`);
}
