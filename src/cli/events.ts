/** `postern events`: what happens in the running relay, as it happens. */
import { controlSocketPath } from "../admin/control-socket.ts";
import { POSTERN_ERRORS } from "../mail/errors.ts";
import type { PosternEvent } from "../mail/events.ts";
import { EVENTS, type EventDefinition } from "../observe/events.ts";
import { formatPretty } from "../observe/pretty.ts";
import { inColour } from "../platform/colour.ts";
import { openControlClient } from "./control-client.ts";
import type { GlobalOptions } from "./options.ts";
import { findPlaces } from "./settings.ts";
import { formatTime } from "./table.ts";

/** An event as the relay tells it. */
type Told = PosternEvent & { readonly id: string; readonly time: number };

/** Prints until Ctrl-C (0), or until the relay ends (69). */
export async function eventsCommand(options: GlobalOptions, { types }: { readonly types?: string }): Promise<number> {
  const places = await findPlaces(options.config);
  const client = openControlClient(controlSocketPath(places.data_dir));
  const query = types === undefined ? "" : `?${new URLSearchParams({ types }).toString()}`;
  const enough = new AbortController();
  const stop = (): void => enough.abort();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  // Whoever reads the other end of a pipe may have seen enough.
  process.stdout.once("error", stop);
  for await (const { event, data } of client.events(`/api/v1/events${query}`, enough.signal)) {
    if (event === "lost") tell(`${String((data as { lost: number }).lost)} events were lost: they came faster than they are read here`);
    else if (event === "end") tell("the relay is stopping");
    else process.stdout.write(options.json ? `${JSON.stringify(data)}\n` : lineOf(data as Told, places.organization.time_zone));
  }
  return enough.signal.aborted ? 0 : POSTERN_ERRORS.E_UNAVAILABLE.exitCode;
}

function tell(text: string): void {
  process.stderr.write(`postern: ${text}\n`);
}

/** As the log would have it on a terminal, in the time of the other commands. */
function lineOf(told: Told, timeZone: string): string {
  const { id: _id, time, ...event } = told;
  const definition = (EVENTS as Readonly<Record<string, EventDefinition<PosternEvent> | undefined>>)[event.type];
  const level = typeof definition?.level === "function" ? definition.level(event) : definition?.level;
  const { type, ...values } = event;
  const fields = definition?.fields?.(event) ?? values;
  const known = level === undefined || level === "none" ? "debug" : level;
  const shown = `${formatTime(time, timeZone)}.${String(time % 1000).padStart(3, "0")}`;
  return formatPretty(JSON.stringify({ level: known, time: shown, event: type, ...fields }), inColour());
}
