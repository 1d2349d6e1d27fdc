/** `/messages`: finding messages by what somebody remembers of them. */
import { z } from "./engine.ts";
import { integerOr, list, moment, State, text, time } from "./fields.ts";
import { jsonRoute, type Route } from "./route.ts";

const MOST_FOUND = 1000;
const USUALLY_FOUND = 20;

const Found = z
  .strictObject({
    queueId: z.string(),
    acceptedAt: time("When it was accepted."),
    reversePath: z.string(),
    recipients: list(z.string()),
    device: z.string(),
    client: z.string(),
    messageId: z.string(),
    subject: z.string().optional().describe("Only with log.subjects."),
    sizeBytes: z.number(),
    states: z.partialRecord(State, z.number()).describe("How many recipients are in which state."),
  })
  .meta({ id: "FoundMessage", description: "A message that was found." });

export const MESSAGE_ROUTES: readonly Route[] = [
  jsonRoute(
    {
      method: "get",
      path: "/messages",
      role: "viewer",
      summary: "Find messages, the newest first",
      description: "All that is given must fit; texts are parts, in any case of letters.",
      query: z.strictObject({
        messageId: text("Message-ID without angle brackets.").optional(),
        device: text("Address of the device.").optional(),
        address: text("Address of the sender or of a recipient.").optional(),
        text: text("In subject, client, listener, HELO name, user; or of an attempt the upstream, its id, its reply or fault.").optional(),
        acceptedFrom: moment("Accepted at this time or later.").optional(),
        acceptedUntil: moment("Accepted before.").optional(),
        limit: integerOr(USUALLY_FOUND, 1, MOST_FOUND, "Most messages to find."),
      }),
      answer: z.strictObject({ messages: list(Found) }),
    },
    async (sources, { query: { limit, ...query }, caller }) => {
      const subjects = caller.role !== "viewer" || sources.subjectsShown();
      return { messages: await sources.queue.find({ ...query, subjects }, limit) };
    },
  ),
];
