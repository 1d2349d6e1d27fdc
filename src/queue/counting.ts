/** What attempts used of a door's budget, added up from their records. */
import type { AttemptCounts } from "./queue.ts";
import { HISTORY_SPAN } from "./states.ts";
import type { Store } from "./store.ts";

/** See `DeliveryQueue.attemptCounts`. */
export type AttemptCounter = (lane: string, since: number, stepMs: number) => AttemptCounts[];

/** Prepares the statement. */
export function attemptCounter(store: Store): AttemptCounter {
  const counted = (key: string): string => `json_extract(record, '$.counted.${key}')`;
  // A door that had no budget then, or a program before it: what may have been taken counts in full.
  const taken = `CASE WHEN json_extract(record, '$.outcome') IN ('delivered', 'ambiguous') THEN json_array_length(recipients) ELSE 0 END`;
  const started = "json_extract(record, '$.startedAt')";
  const ended = `${started} + CAST(json_extract(record, '$.delays.connectMs') + json_extract(record, '$.delays.transmitMs') AS INTEGER)`;
  const octets = `(SELECT (size + 2) / 3 * 4 FROM message WHERE message.id = attempt.id / ${HISTORY_SPAN})`;
  const find = store.prepare(
    `SELECT max(${started}), max(coalesce(${counted("endedAt")}, ${ended})), sum(coalesce(${counted("messages")}, 1)), sum(coalesce(${counted("recipients")}, ${taken})),
       sum(coalesce(${counted("external")}, ${taken})), sum(coalesce(${counted("bytes")}, ${octets}, 0))
     FROM attempt INDEXED BY attempt_time WHERE lane = ? AND at >= ? GROUP BY at / CAST(? AS INTEGER) ORDER BY at`,
  );
  return (lane, since, stepMs) =>
    (find.all(lane, since, Math.max(1, Math.ceil(stepMs))) as unknown as [number, number, number, number, number, number][]).map(
      ([startedAt, endedAt, messages, recipients, external, bytes]) => ({ startedAt, endedAt, messages, recipients, external, bytes }),
    );
}
