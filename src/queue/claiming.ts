/** Choosing what is delivered next: fair between devices, oldest due first within one. */
import { crc32 } from "node:zlib";
import { isDamaged } from "./faults.ts";
import { firstTurns, serveByPriority, type Turns } from "./precedence.ts";
import type {
  ClaimAnswer,
  ClaimCommand,
  ClaimedRow,
  HeldSendersCommand,
  LapseCommand,
  ProbeCommand,
  ProbeSenderCommand,
} from "./protocol.ts";
import {
  BY_SENDER,
  BY_UPSTREAM,
  CONTENT_SPAN,
  DELIVERING,
  HELD,
  LINE_DELIVERING,
  LINE_DOOR,
  LINE_HELD,
  LINE_TIME,
  QUEUED,
  RECIPIENT_SPAN,
} from "./states.ts";
import type { LaneMemory, Store } from "./store.ts";

/** Content up to this size travels with the claim. */
const INLINE_BYTES = 16 * 1024;

export interface Claiming {
  claim(command: ClaimCommand): ClaimAnswer[];
  probe(command: ProbeCommand): ClaimAnswer | undefined;
  /** See `DeliveryQueue`. */
  heldSenders(command: HeldSendersCommand): string[];
  probeSender(command: ProbeSenderCommand): ClaimAnswer | undefined;
  lapse(command: LapseCommand): void;
  /** A row of content; undefined when it is missing or its checksum does not agree. */
  read(message: number, place: number): Uint8Array | undefined;
}

type Head = [device: string, due: number];
type WaitingRow = [
  id: number,
  address: string,
  attempts: number,
  heldMs: number,
  ambiguous: number,
  state: number,
  heldSince: number | null,
  passed: string | null,
  deferredSince: number | null,
];

/** Prepares the statements. */
export function claiming(store: Store): Claiming {
  const inLine = `FROM recipient INDEXED BY recipient_line WHERE lane = ? AND line = ${LINE_TIME}`;
  // One step down the index finds the next device and what it has due first: a skip scan, 20 times faster than a window function over all that waits.
  const nextDevice = store.prepare(`SELECT device, due ${inLine} AND device > ? ORDER BY device, due LIMIT 1`);
  const headOf = store.prepare(`SELECT id ${inLine} AND device = ? AND due <= ? ORDER BY due LIMIT 1`);
  // `0 + ?`: SQLite looks into a bare `LIMIT ?` while planning, and would prepare the statement anew for each value.
  const columns = "id, address, attempts, held_ms, ambiguous, state, held_since, passed, deferred_since";
  const dueOfMessage = store.prepare(
    `SELECT ${columns} FROM recipient NOT INDEXED WHERE id >= ? AND id < ? AND line = ${LINE_TIME} AND lane = ? AND due <= ? ORDER BY id LIMIT 0 + ?`,
  );
  const heldOfMessage = store.prepare(
    `SELECT ${columns} FROM recipient NOT INDEXED WHERE id >= ? AND id < ? AND line = ${LINE_DOOR} AND lane = ? ORDER BY id LIMIT 0 + ?`,
  );
  const atDoor = `FROM recipient INDEXED BY recipient_line WHERE lane = ? AND line = ${LINE_DOOR}`;
  const nextHeldDevice = store.prepare(`SELECT device, due ${atDoor} AND device > ? ORDER BY device, due LIMIT 1`);
  const nextHeldOf = store.prepare(`SELECT due ${atDoor} AND device = ? AND due > ? ORDER BY due LIMIT 1`);
  const heldBySender = `FROM recipient INDEXED BY recipient_sender WHERE lane = ? AND line = ${LINE_HELD} AND held_by = ${BY_SENDER}`;
  const nextSender = store.prepare(`SELECT sender ${heldBySender} AND sender > ? ORDER BY sender LIMIT 1`);
  const heldLongest = store.prepare(`SELECT id ${heldBySender} AND sender = ? ORDER BY held_since LIMIT 1`);
  const heldSenderOfMessage = store.prepare(
    `SELECT ${columns} FROM recipient NOT INDEXED WHERE id >= ? AND id < ? AND line = ${LINE_HELD} AND held_by = ${BY_SENDER} AND lane = ?
     ORDER BY id LIMIT 0 + ?`,
  );
  // Who held it for its sender stays known: if it is returned untried, it is held again.
  const take = store.prepare(
    `UPDATE recipient SET was = state, state = ${DELIVERING}, line = ${LINE_DELIVERING}, claim = ?, held_ms = ?, held_since = NULL,
     held_by = CASE held_by WHEN ${BY_SENDER} THEN ${BY_SENDER} END, changed = ? WHERE id = ?`,
  );
  const messageOf = store.prepare("SELECT envelope, chunks, size, warned FROM message WHERE id = ?");
  const idOf = store.prepare("SELECT id FROM message WHERE queue_id = ?");
  const contentRow = store.prepare("SELECT crc, data FROM content WHERE k = ?");
  const laneOfLapsed = store.prepare(`SELECT lane FROM recipient NOT INDEXED WHERE id = ? AND claim = ? AND state = ${DELIVERING}`);
  // The claim stays in the row: should its outcome come after all, nobody took the recipient meanwhile, it still counts.
  const backInLine = store.prepare(
    `UPDATE recipient SET state = ?, line = ?, due = ?, held_by = ?, held_since = ?, ambiguous = 1, changed = ? WHERE id = ?`,
  );

  function read(message: number, place: number): Uint8Array | undefined {
    try {
      const row = contentRow.get(message * CONTENT_SPAN + place) as unknown as [number, Uint8Array] | undefined;
      return row !== undefined && crc32(row[1]) === row[0] ? row[1] : undefined;
    } catch (error) {
      // Of a damaged page other messages know nothing; to read it changed nothing.
      if (isDamaged(error)) return undefined;
      throw error;
    }
  }

  function claimRows(lane: LaneMemory, claim: number, message: number, rows: WaitingRow[], line: number, now: number): ClaimAnswer {
    const recipients: ClaimedRow[] = [];
    for (const [id, address, attempts, heldMs, ambiguous, state, heldSince, passed, deferredSince] of rows) {
      const held = heldMs + (heldSince === null ? 0 : Math.max(0, now - heldSince));
      take.run(claim, held, now, id);
      store.leave(lane, state, line);
      store.enter(lane, DELIVERING, LINE_DELIVERING);
      recipients.push([id - message * RECIPIENT_SPAN, address, attempts, held, ambiguous !== 0, passed, deferredSince]);
    }
    const [envelope, chunks, size, warned] = messageOf.get(message) as unknown as [string, number, number, number | null];
    const content = chunks === 1 && size <= INLINE_BYTES ? read(message, 0) : undefined;
    return { claim, message, envelope, chunks, recipients, warned: warned !== null, content };
  }

  /** Takes the message that a device has due first; undefined when it has none. */
  function takeFrom(
    lane: LaneMemory,
    device: string,
    command: ClaimCommand,
    claim: number,
    perMessage = command.perMessage,
  ): ClaimAnswer | undefined {
    const head = headOf.get(lane.name, device, command.now) as unknown as [number] | undefined;
    if (head === undefined) return undefined;
    const message = Math.floor(head[0] / RECIPIENT_SPAN);
    const rows = dueOfMessage.all(message * RECIPIENT_SPAN, (message + 1) * RECIPIENT_SPAN, lane.name, command.now, perMessage);
    return claimRows(lane, claim, message, rows as unknown as WaitingRow[], LINE_TIME, command.now);
  }

  const turnsOf = new Map<string, Turns>();

  /** For a door with a budget: by priority, and no more recipients than it has left. */
  function claimWithin(lane: LaneMemory, command: ClaimCommand, budget: NonNullable<ClaimCommand["budget"]>): ClaimAnswer[] {
    const claims: ClaimAnswer[] = [];
    const lines: string[] = [];
    // The line without a name sorts before all others and cannot be found as the next one.
    if (headOf.get(lane.name, "", command.now) !== undefined) lines.push("");
    for (let line = ""; ;) {
      const head = nextDevice.get(lane.name, line) as unknown as Head | undefined;
      if (head === undefined) break;
      line = head[0];
      if (head[1] <= command.now) lines.push(line);
    }
    let turns = turnsOf.get(lane.name);
    if (turns === undefined) turnsOf.set(lane.name, (turns = firstTurns()));
    let left = budget.recipients;
    serveByPriority(lines, new Map(command.busy), budget.strict, turns, (line) => {
      const answer = takeFrom(lane, line, command, command.firstClaim + claims.length, Math.min(command.perMessage, left));
      if (answer === undefined) return "none";
      claims.push(answer);
      left -= answer.recipients.length;
      return claims.length >= command.limit || left <= 0 ? "last" : "taken";
    });
    return claims;
  }

  function claim(command: ClaimCommand): ClaimAnswer[] {
    const lane = store.lane(command.lane);
    const claims: ClaimAnswer[] = [];
    if (lane.hold !== null || lane.counts[0] + lane.counts[2] === 0) return claims;
    if (command.budget !== undefined) return claimWithin(lane, command, command.budget);
    const busy = new Map(command.busy);
    const seen: { device: string; load: number }[] = [];
    const serve = (entry: { device: string; load: number }): boolean => {
      const answer = takeFrom(lane, entry.device, command, command.firstClaim + claims.length);
      if (answer === undefined) return false;
      claims.push(answer);
      entry.load++;
      lane.cursor = entry.device;
      return true;
    };

    // Once around all devices, from the one after the last served: each idle one gets its turn.
    const start = lane.cursor;
    let device = start;
    let wrapped = start === "";
    while (claims.length < command.limit) {
      const head = nextDevice.get(lane.name, device) as unknown as Head | undefined;
      if (head === undefined || (wrapped && start !== "" && head[0] > start)) {
        if (wrapped) break;
        wrapped = true;
        device = "";
        // Reports have no device; the empty name sorts before all others and cannot be found as the next one.
        const own = { device, load: busy.get(device) ?? 0 };
        seen.push(own);
        if (own.load === 0) serve(own);
        continue;
      }
      device = head[0];
      if (head[1] > command.now) continue;
      const entry = { device, load: busy.get(device) ?? 0 };
      seen.push(entry);
      if (entry.load === 0) serve(entry);
    }
    if (start === "" && claims.length < command.limit) {
      const own = { device: "", load: busy.get("") ?? 0 };
      seen.push(own);
      if (own.load === 0) serve(own);
    }

    // What is left goes to those with the fewest deliveries in progress.
    while (claims.length < command.limit && seen.length > 0) {
      let least = seen[0];
      for (const entry of seen) if (least === undefined || entry.load < least.load) least = entry;
      if (least === undefined) break;
      if (!serve(least)) seen.splice(seen.indexOf(least), 1);
    }
    return claims;
  }

  function probe(command: ProbeCommand): ClaimAnswer | undefined {
    const lane = store.lane(command.lane);
    if (lane.heldByDoor === 0) return undefined;
    const closer = lane.hold?.closedBy === undefined ? undefined : (idOf.get(lane.hold.closedBy) as unknown as [number] | undefined)?.[0];
    // The one after the closer, and from the last on the oldest again: every message gets its chance to prove the door, also behind several that cannot.
    let next = Infinity;
    let oldest = Infinity;
    let closerWaits = false;
    const consider = (device: string, first: number): void => {
      if (first === closer) closerWaits = true;
      else oldest = Math.min(oldest, first);
      if (closer === undefined) return;
      const after = first > closer ? first : (nextHeldOf.get(lane.name, device, closer) as unknown as [number] | undefined)?.[0];
      if (after !== undefined) next = Math.min(next, after);
    };
    const own = nextHeldOf.get(lane.name, "", -1) as unknown as [number] | undefined;
    if (own !== undefined) consider("", own[0]);
    for (let device = ""; ;) {
      const head = nextHeldDevice.get(lane.name, device) as unknown as Head | undefined;
      if (head === undefined) break;
      device = head[0];
      consider(device, head[1]);
    }
    const message = next < Infinity ? next : oldest < Infinity ? oldest : closerWaits ? closer : undefined;
    if (message === undefined) return undefined;
    const rows = heldOfMessage.all(
      message * RECIPIENT_SPAN,
      (message + 1) * RECIPIENT_SPAN,
      lane.name,
      command.perMessage,
    ) as unknown as WaitingRow[];
    return rows.length === 0 ? undefined : claimRows(lane, command.claim, message, rows, LINE_DOOR, command.now);
  }

  function heldSenders({ lane, limit }: HeldSendersCommand): string[] {
    const found: string[] = [];
    // The null reverse-path sorts before all others and cannot be found as the next one.
    if (heldLongest.get(lane, "") !== undefined) found.push("");
    for (let sender = ""; found.length < limit;) {
      const next = nextSender.get(lane, sender) as unknown as [string] | undefined;
      if (next === undefined) break;
      [sender] = next;
      found.push(sender);
    }
    return found;
  }

  function probeSender(command: ProbeSenderCommand): ClaimAnswer | undefined {
    const lane = store.lane(command.lane);
    const longest = heldLongest.get(lane.name, command.sender) as unknown as [number] | undefined;
    if (longest === undefined) return undefined;
    const message = Math.floor(longest[0] / RECIPIENT_SPAN);
    const rows = heldSenderOfMessage.all(message * RECIPIENT_SPAN, (message + 1) * RECIPIENT_SPAN, lane.name, command.perMessage);
    return claimRows(lane, command.claim, message, rows as unknown as WaitingRow[], LINE_HELD, command.now);
  }

  function lapse({ claim: id, message, indexes, now }: LapseCommand): void {
    for (const index of indexes) {
      const recipient = message * RECIPIENT_SPAN + index;
      const row = laneOfLapsed.get(recipient, id) as unknown as [string] | undefined;
      if (row === undefined) continue;
      const lane = store.lane(row[0]);
      store.leave(lane, DELIVERING, LINE_DELIVERING);
      if (lane.hold !== null) {
        backInLine.run(HELD, LINE_DOOR, message, BY_UPSTREAM, now, now, recipient);
        store.enter(lane, HELD, LINE_DOOR);
      } else {
        backInLine.run(QUEUED, LINE_TIME, now, null, null, now, recipient);
        store.enter(lane, QUEUED, LINE_TIME);
        store.due(lane, now);
      }
    }
  }

  return { claim, probe, heldSenders, probeSender, lapse, read };
}
