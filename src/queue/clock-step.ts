/** The system's clock was set: what waits keeps its place in time. */
import type { ClockStepCommand } from "./protocol.ts";
import { LINE_TIME, RECIPIENT_SPAN } from "./states.ts";
import type { Store } from "./store.ts";

/** No schedule puts mail off for longer; a due time beyond was made by a clock that was wrong. An attempt too many harms nobody. */
const FARTHEST_DUE_MS = 24 * 3_600_000;
/** What an earlier process noted may be ahead of now by so much without the clock having been wrong: NTP moves it by little. */
const SLACK_MS = 30_000;

export interface ClockSteps {
  /** Moves the times of everything that waits by the step, inside a transaction. */
  step(command: ClockStepCommand): void;
}

/** Prepares the statements. */
export function clockSteps(store: Store): ClockSteps {
  // Rows are in the order they were accepted in, by whatever clock: of those before the step the newest is found from the end.
  const lastAhead = store.prepare("SELECT id FROM message WHERE accepted_at > ? ORDER BY id DESC LIMIT 1");
  const lastBehind = store.prepare("SELECT id FROM message WHERE accepted_at < ? ORDER BY id DESC LIMIT 1");
  const shift = store.prepare(
    `UPDATE recipient SET held_ms = held_ms + ?, held_since = held_since + ?, deferred_since = deferred_since + ? WHERE line IS NOT NULL AND id < ?`,
  );
  const bringForward = bringingForward(store);
  return {
    step({ now, byMs }) {
      // Set back, what waits for a time would wait for all the hours that come twice. Set forward, it is due early, which harms nobody.
      if (byMs < 0) bringForward(now, now);
      // The age of a message says when it is given up: hours that never were are not counted.
      const found = (byMs < 0 ? lastAhead.get(now) : lastBehind.get(now - byMs / 2)) as unknown as [number] | undefined;
      if (found !== undefined) shift.run(byMs, byMs, byMs, (found[0] + 1) * RECIPIENT_SPAN);
    },
  };
}

/**
 * For a start: what an earlier process put off by a clock that was ahead is due now. It was ahead where something was written down at a time that is
 * still to come; a due time that is too far away shows it, too.
 */
export function forgetDueTimesAhead(store: Store, now: number): void {
  store.begin(true);
  bringingForward(store)(now, newestNote(store) > now + SLACK_MS ? now : now + FARTHEST_DUE_MS);
  store.commit();
}

/** The latest time at which mail was accepted, or tried on a lane that has some waiting. */
function newestNote(store: Store): number {
  const accepted = store.prepare("SELECT accepted_at FROM message ORDER BY id DESC LIMIT 1").get() as unknown as [number] | undefined;
  const tried = store.prepare("SELECT max(at) FROM attempt INDEXED BY attempt_time WHERE lane = ?");
  let newest = accepted?.[0] ?? 0;
  for (const lane of store.lanes.values()) newest = Math.max(newest, (tried.get(lane.name) as unknown as [number | null])[0] ?? 0);
  return newest;
}

/** Makes due at `now` what waits for a time after `latest`. */
function bringingForward(store: Store): (now: number, latest: number) => void {
  const update = store.prepare(
    `UPDATE recipient SET due = ? WHERE id IN (SELECT id FROM recipient INDEXED BY recipient_line WHERE lane = ? AND line = ${LINE_TIME} AND due > ?)`,
  );
  return (now, latest) => {
    for (const lane of store.lanes.values()) {
      if (lane.counts[0] + lane.counts[2] === 0) continue;
      if (Number(update.run(now, lane.name, latest).changes) > 0) store.due(lane, now);
    }
  };
}
