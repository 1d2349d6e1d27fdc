/** `postern queue …`: lists, shows and acts on mail in the queue. */
import { controlSocketPath } from "../admin/control-socket.ts";
import { PosternError } from "../mail/errors.ts";
import { WAITING_STATES } from "../mail/message.ts";
import { formatReply } from "../mail/reply.ts";
import type { ActResult, OperatorAct, QueueEntry, QueueFilter } from "../queue/queue.ts";
import { openControlClient } from "./control-client.ts";
import { saysYes } from "./confirm.ts";
import { operatorName } from "./operator.ts";
import type { GlobalOptions } from "./options.ts";
import type { QueueOptions } from "./queue-filter.ts";
import { readQueueId, toFilter } from "./queue-filter.ts";
import { shownPreview } from "./preview/preview.ts";
import { renderPreview } from "./preview/render.ts";
import { checkNames, queueSource, toQuery } from "./queue-source.ts";
import { paintState, renderMessage } from "./message-view.ts";
import { findPlaces } from "./settings.ts";
import { renderTranscripts, transcriptsOf } from "./transcripts.ts";
import { cell, formatSize, formatTime, print, printJson, remark, renderTable } from "./table.ts";
import { whyUntouched } from "./untouched.ts";

const MOST_LISTED = 1000;

/** `queue list`. Without ids or states: what waits. */
export async function listCommand(options: GlobalOptions, given: QueueOptions & { readonly limit: string }): Promise<number> {
  const limit = /^\d{1,4}$/.test(given.limit) ? Number(given.limit) : 0;
  if (limit < 1 || limit > MOST_LISTED) throw new PosternError("E_USAGE", `--limit: expected a number from 1 to ${MOST_LISTED}`);
  const filter = toFilter([], given, Date.now());
  const places = await findPlaces(options.config);
  const source = queueSource(places);
  await checkNames(options.config, source, given);
  const entries = await source.list(filter.states === undefined ? { ...filter, states: WAITING_STATES } : filter, limit);
  if (options.json) printJson({ entries });
  else if (entries.length === 0) remark("nothing found");
  else {
    print(
      ...renderTable(
        LIST_COLUMNS,
        entries.map((entry) => listRow(entry, places.organization.time_zone)),
      ),
    );
    // A message is never cut in two: there may be more of them than were asked for.
    if (entries.length >= limit)
      remark(
        `(the first ${entries.length}; ${limit < MOST_LISTED ? "--limit shows more" : "--device, --from and the like choose among them"})`,
      );
  }
  return 0;
}

const LIST_COLUMNS = [
  { title: "QUEUE ID" },
  { title: "ACCEPTED" },
  { title: "SIZE", align: "right" },
  { title: "STATE" },
  { title: "UPSTREAM", below: 1 },
  { title: "DEVICE", below: 1 },
  { title: "FROM", below: 1 },
  { title: "TO", below: 1 },
  { title: "REASON", below: 2 },
] as const;

function listRow(entry: QueueEntry, timeZone: string): string[] {
  return [
    entry.queueId,
    formatTime(entry.acceptedAt, timeZone),
    formatSize(entry.sizeBytes),
    paintState(entry),
    entry.lane,
    entry.device,
    cell(entry.reversePath === "" ? "<>" : entry.reversePath, 60),
    cell(entry.recipient, 60),
    cell(entry.reply === undefined ? (entry.cause ?? "") : formatReply(entry.reply), 80),
  ];
}

/** What `queue show` was asked for besides. */
interface ShowOptions {
  readonly transcript?: boolean;
  readonly preview?: boolean;
}

/** `queue show ID`. */
export async function showCommand(options: GlobalOptions, id: string, given: ShowOptions = {}): Promise<number> {
  const queueId = readQueueId(id);
  const places = await findPlaces(options.config);
  const source = queueSource(places);
  const view = await source.show(queueId);
  if (view === undefined) throw new PosternError("E_NO_SUCH_MESSAGE", `no message has the queue id ${queueId}`);
  const transcripts = given.transcript === true ? await transcriptsOf(places, view) : undefined;
  const preview = given.preview === false ? undefined : await shownPreview(view, () => source.content(queueId));
  if (options.json)
    printJson({ ...view, ...(transcripts === undefined ? {} : { transcripts }), ...(preview === undefined ? {} : { preview }) });
  else {
    const { time_zone: timeZone } = places.organization;
    print(
      ...renderMessage(view, timeZone),
      ...(preview === undefined ? [] : renderPreview(preview)),
      ...(transcripts === undefined ? [] : renderTranscripts(transcripts, timeZone)),
    );
  }
  return 0;
}

/** `queue retry|hold|release|bounce|delete`. Needs the daemon, which owns the queue. */
export async function actCommand(
  options: GlobalOptions,
  verb: OperatorAct["verb"],
  ids: readonly string[],
  given: QueueOptions & { readonly all: boolean; readonly yes?: boolean | undefined },
): Promise<number> {
  const filter = toFilter(ids, given, Date.now());
  const everything = Object.keys(filter).length === 0;
  if (everything && !given.all) throw new PosternError("E_USAGE", `queue ${verb}: give queue ids or filters, or --all for the whole queue`);
  if (!everything && given.all) throw new PosternError("E_USAGE", `queue ${verb}: --all stands alone, without queue ids or filters`);
  const places = await findPlaces(options.config);
  await checkNames(options.config, queueSource(places), given);
  const client = openControlClient(controlSocketPath(places.data_dir));
  const look = async (): Promise<readonly QueueEntry[]> => {
    const found: QueueEntry[] = [];
    for (const wanted of questions(filter))
      found.push(...((await client.get(`/api/v1/queue?${toQuery(wanted, MOST_LISTED)}`)) as { entries: QueueEntry[] }).entries);
    return found;
  };
  const asks = needsConfirmation(verb, { everything, named: ids.length > 0, onTerminal: process.stdin.isTTY });
  const mustConfirm = asks && given.yes !== true;
  // Looked at first. For a question: without the daemon, or with nothing that fits, there is nothing to be asked about. For a retry: what is held by
  // a door may have left by the time that it is answered.
  const before = mustConfirm || verb === "retry" ? await look() : undefined;
  const isVain = mustConfirm && process.stdin.isTTY && before !== undefined && !before.some(isWaiting);
  if (mustConfirm && !isVain && !(await confirmed(verb, before ?? []))) throw new PosternError("E_USAGE", `nothing was ${PAST[verb]}`);
  const result: ActResult = isVain
    ? { changed: [], recipients: 0, messages: 0, busy: 0 }
    : ((await client.post(`/api/v1/queue/${verb}`, { filter, by: operatorName() })) as ActResult);
  const touched = new Set(result.changed.map(({ queueId }) => queueId));
  const doubtful = (filter.ids ?? []).some((id) => !touched.has(id));
  const named =
    (isVain || verb === "retry" ? before : undefined) ?? (doubtful || result.recipients + result.busy === 0 ? await look() : []);
  const there = new Set([...touched, ...named.map(({ queueId }) => queueId)]);
  // A list that was cut short proves nothing of those that are not in it.
  const unknown = named.length >= MOST_LISTED ? [] : (filter.ids ?? []).filter((id) => !there.has(id));
  if (unknown.length < ids.length || ids.length === 0) {
    if (options.json) printJson(result);
    else printResult(verb, result, named);
  }
  if (unknown.length > 0) throw new PosternError("E_NO_SUCH_MESSAGE", `no message has the queue id ${listed(unknown)}`);
  return 0;
}

/** Queue ids in one question: they stand in its first line, which has bounds. */
const MOST_ASKED = 400;

/** What is looked at before or after an act, in questions that are not too long. */
function questions(filter: QueueFilter): QueueFilter[] {
  const { ids } = filter;
  if (ids === undefined) return [{ ...filter, states: filter.states ?? WAITING_STATES }];
  return Array.from({ length: Math.ceil(ids.length / MOST_ASKED) }, (_, at) => ({
    ...filter,
    ids: ids.slice(at * MOST_ASKED, (at + 1) * MOST_ASKED),
  }));
}

const MOST_NAMED = 5;

function listed(ids: readonly string[]): string {
  const more = ids.length - MOST_NAMED;
  return more <= 0 ? ids.join(" or ") : `${ids.slice(0, MOST_NAMED).join(", ")} or of the ${more} others`;
}

const PAST = { retry: "retried", hold: "held", release: "released", bounce: "bounced", delete: "deleted" } as const;

/**
 * What cannot be undone is asked about, and so is the whole queue, where somebody is there to answer. A script that names the ids means them; filters
 * may fit more than its author thought of.
 */
export function needsConfirmation(
  verb: OperatorAct["verb"],
  { everything, named, onTerminal }: { readonly everything: boolean; readonly named: boolean; readonly onTerminal: boolean },
): boolean {
  if (verb === "delete" || verb === "bounce") return onTerminal || !named;
  return everything && onTerminal;
}

const DONE = { retry: "due now", hold: "held", release: "released", bounce: "bounced", delete: "deleted" } as const;

/** @param named - what the act may have left as it was */
function printResult(verb: OperatorAct["verb"], result: ActResult, named: readonly QueueEntry[]): void {
  const { recipients, messages } = result;
  const changed = new Set(result.changed.map(({ queueId, recipient }) => `${queueId} ${recipient}`));
  // Of many only the first are named: of those looked at, what is held was left for certain, but for what waited for its sender.
  const isWhole = result.changed.length === recipients;
  const left = named.filter(
    ({ queueId, recipient, state, heldBy }) =>
      !changed.has(`${queueId} ${recipient}`) && (isWhole ? state !== "delivering" : state === "held" && heldBy !== "sender"),
  );
  if (recipients > 0)
    print(`${recipients} recipient${recipients === 1 ? "" : "s"} of ${messages} message${messages === 1 ? "" : "s"} ${DONE[verb]}`);
  if (left.length > 0) print(...whyUntouched(verb, left));
  if (result.busy > 0) print(`${result.busy} being delivered right now: not touched`);
  if (recipients + left.length + result.busy === 0) print("nothing in the queue fits");
}

function question(verb: OperatorAct["verb"], amount: string): string {
  if (verb === "delete") return `Delete ${amount} for good, telling nobody?`;
  if (verb === "bounce") return `Give up ${amount} for good, with a report to each sender or the postmaster?`;
  return `${amount}, the whole queue: ${verb} all?`;
}

function isWaiting({ state }: QueueEntry): boolean {
  return WAITING_STATES.some((waiting) => waiting === state);
}

/** Asks on a terminal; elsewhere `--yes` must have said so. */
async function confirmed(verb: OperatorAct["verb"], fitting: readonly QueueEntry[]): Promise<boolean> {
  if (!process.stdin.isTTY)
    throw new PosternError("E_USAGE", `queue ${verb}: not on a terminal, so --yes is needed for anything but queue ids`);
  const found = fitting.filter(isWaiting);
  const amount =
    found.length >= MOST_LISTED ? `${MOST_LISTED} recipients or more` : `${found.length} recipient${found.length === 1 ? "" : "s"}`;
  return await saysYes(question(verb, amount));
}
