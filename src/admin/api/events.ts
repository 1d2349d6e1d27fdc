/** `/events`: what happens now, as it happens. */
import type { EventName } from "../../mail/events.ts";
import { EVENTS } from "../../observe/events.ts";
import type { Reader } from "../event-feed.ts";
import { RequestFault } from "../fault.ts";
import { z } from "./engine.ts";
import { listed } from "./fields.ts";
import { streamRoute, type Route } from "./route.ts";

const NAMES = Object.keys(EVENTS) as EventName[];
/** So many of them that nobody wants them who did not ask: only metrics count them. */
const ONLY_COUNTED: ReadonlySet<EventName> = new Set(NAMES.filter((name) => EVENTS[name].level === "none"));
const EXPECTED = "names of events such as recipient.delivered, or their beginnings such as recipient.*";

const Event = z
  .looseObject({
    id: z.string().describe("Of this run of the relay."),
    time: z.number().describe("When it was told. In ms since the epoch."),
    type: z.string().describe("Its name; docs/logs.md lists them."),
  })
  .meta({ id: "Event", description: "Something that happened, with the values of its kind." });

const types = z
  .array(
    z
      .string()
      .regex(/^[a-z]+(?:\.[a-z]+)*(?:\.\*)?$/, { error: () => `expected ${EXPECTED}` })
      .refine((text) => matching(text).length > 0, { error: () => `there is no such event: expected ${EXPECTED}` }),
  )
  .min(1)
  .max(100);

export const EVENT_ROUTES: readonly Route[] = [
  streamRoute(
    {
      method: "get",
      path: "/events",
      role: "viewer",
      summary: "What happens now, as it happens",
      description:
        "Server-sent events: `event` is the name, `data` the event as JSON. `lost` says how many a reader that did not keep up has missed, `end` why there will be no more (`stopping`, `token`). What happened before or between two connections is not told: the log has it.",
      query: z.strictObject({
        types: listed(types)
          .optional()
          .describe("Only these, or all that begin so: recipient.*,alert.raised. Default: all but those that are only counted."),
      }),
      answer: Event,
      type: "text/event-stream",
    },
    (sources, { query, caller: { role, token, holds }, hangUp }) => {
      const wanted = new Set(query.types?.flatMap(matching) ?? NAMES.filter((name) => !ONLY_COUNTED.has(name)));
      const reader = sources.events.open({
        wants: (type) => wanted.has(type),
        subjects: () => role !== "viewer" || sources.subjectsShown(),
        token,
        holds,
        hangUp,
      });
      if (reader === undefined) throw new RequestFault(503, "too_many_readers", "too many listen already, or the relay is stopping");
      return { stream: streamOf(reader), headers: { "x-accel-buffering": "no" } };
    },
  ),
];

/** Names that a text stands for. */
function matching(text: string): EventName[] {
  return text.endsWith(".*") ? NAMES.filter((name) => name.startsWith(text.slice(0, -1))) : NAMES.filter((name) => name === text);
}

function streamOf(reader: Reader): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const text = await reader.take();
        if (text === undefined) controller.close();
        else controller.enqueue(encoder.encode(text));
      },
      cancel() {
        reader.leave();
      },
    },
    { highWaterMark: 0 },
  );
}
