/** `postern test --alert`: sends a test alert by every way that is configured, and says of each whether it was taken. */
import type { AlertTestAnswer } from "../admin/sources.ts";
import { controlSocketPath } from "../admin/control-socket.ts";
import { PosternError } from "../mail/errors.ts";
import { formatReply } from "../mail/reply.ts";
import type { WayTested } from "../observe/alerts/alert.ts";
import type { MessageView, QueueEntry } from "../queue/queue.ts";
import { openControlClient, type ControlClient } from "./control-client.ts";
import { operatorName } from "./operator.ts";
import type { GlobalOptions } from "./options.ts";
import { findPlaces } from "./settings.ts";
import { harmless, paint, print, printJson } from "./table.ts";
import { EXIT_CODES, outcomeOf, POLL_MS, readWait, type TestOptions, type TestOutcome } from "./test.ts";

/** What became of the alert by one way, or of its mail for one recipient. */
interface Line {
  readonly way: string;
  readonly outcome: TestOutcome | "taken" | "not taken";
  readonly text: string;
  readonly remedy?: string | undefined;
}

const COLOURS = { taken: "green", delivered: "green", waiting: "yellow", refused: "red", "not taken": "red" } as const;

/**
 * @returns 0 when every way took it and the mail was delivered, 75 when the mail waits, 69 when a way did not take it
 * @throws PosternError E_CONFIG where no way is configured
 */
export async function testAlertCommand(options: GlobalOptions, given: TestOptions): Promise<number> {
  const waitMs = readWait(given);
  if ((given.to ?? given.from ?? given.upstream) !== undefined)
    throw new PosternError(
      "E_USAGE",
      "--to, --from and --upstream do not go with --alert: alerts go where alerts in the configuration says",
    );
  const client = openControlClient(controlSocketPath((await findPlaces(options.config)).data_dir));
  const { ways } = (await client.post("/api/v1/alerts/test", { by: operatorName() })) as AlertTestAnswer;
  if (ways.length === 0)
    throw new PosternError(
      "E_CONFIG",
      "alerts: no webhook, syslog or mail in the configuration that is in force: alerts are in the log only",
    );
  const lines = (await Promise.all(ways.map(async (one) => await linesOf(client, one, waitMs)))).flat();
  if (options.json) printJson({ ways, results: lines });
  else
    for (const { way, outcome, text, remedy } of lines) {
      print(`${way.padEnd(7)}  ${paint(COLOURS[outcome], outcome)}: ${harmless(text, 1000)}`);
      if (remedy !== undefined) print(`         remedy: ${harmless(remedy, 1000)}`);
    }
  const codes = lines.map(({ outcome }) => exitCodeOf(outcome));
  return [EXIT_CODES.refused, EXIT_CODES.waiting].find((code) => codes.includes(code)) ?? 0;
}

function exitCodeOf(outcome: Line["outcome"]): number {
  if (outcome === "taken") return 0;
  return EXIT_CODES[outcome === "not taken" ? "refused" : outcome];
}

async function linesOf(client: ControlClient, { way, carried }: WayTested, waitMs: number): Promise<Line[]> {
  if (!carried.taken) return [{ way, outcome: "not taken", text: carried.cause, remedy: carried.remedy }];
  if (carried.queueId === undefined) return [{ way, outcome: "taken", text: carried.note ?? "" }];
  return await follow(client, way, carried.queueId, waitMs);
}

/** Looks until the mail is final for each recipient, or nothing more will happen within the time. */
async function follow(client: ControlClient, way: string, queueId: string, waitMs: number): Promise<Line[]> {
  const deadline = Date.now() + waitMs;
  for (;;) {
    const { entries } = (await client.get(`/api/v1/queue/${queueId}`)) as MessageView;
    const ends = entries.map((entry) => ({ entry, outcome: outcomeOf(entry, Date.now(), deadline) }));
    if (ends.every(({ outcome }) => outcome !== undefined))
      return ends.map(({ entry, outcome = "waiting" }) => ({ way, outcome, text: textOf(queueId, entry) }));
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function textOf(queueId: string, { recipient, lane, state, reply, cause }: QueueEntry): string {
  const said = reply === undefined ? cause : formatReply(reply);
  return `${queueId} to ${recipient}, ${state} by ${lane}${said === undefined ? "" : `: ${said}`}`;
}
