/**
 * The two commands of every message as flat arrays: copying one between threads costs a third of what an object with names costs, at both ends.
 * All others go as they are.
 */
import type { AcceptCommand, Command, MovedTo, Octets, SettleCommand, SettledRow } from "./protocol.ts";

const ACCEPT = 1;
const SETTLE = 2;
const ROW_FIELDS = 8;
const NOTHING_TOLD = { generated: [], warned: false, postponed: [] };

/** A command as it crosses. */
export type Wire = Command | readonly unknown[];

function packAccept(command: AcceptCommand): unknown[] {
  const { tail, addresses, lanes, claims } = command;
  const shared = tail === undefined || tail instanceof Uint8Array ? undefined : tail;
  const packed: unknown[] = [
    ACCEPT,
    command.message,
    command.queueId,
    command.at,
    command.generated,
    command.envelope,
    command.reversePath,
    command.client,
    command.line,
    command.size,
    command.chunks,
    shared === undefined ? tail : shared.slab,
    shared?.offset,
    shared?.length,
  ];
  for (let index = 0; index < addresses.length; index++) packed.push(addresses[index], lanes[index], claims[index]);
  return packed;
}

function unpackAccept(packed: readonly unknown[]): AcceptCommand {
  const [, message, queueId, at, generated, envelope, reversePath, client, line, size, chunks, slab, offset, length] = packed as [
    number,
    number,
    string,
    number,
    boolean,
    string,
    string,
    string,
    string,
    number,
    number,
    number | Uint8Array | undefined,
    number,
    number,
  ];
  const tail: Octets | undefined = typeof slab === "number" ? { slab, offset, length } : slab;
  const addresses: string[] = [];
  const lanes: string[] = [];
  const claims: number[] = [];
  for (let at3 = 14; at3 < packed.length; at3 += 3) {
    addresses.push(packed[at3] as string);
    lanes.push(packed[at3 + 1] as string);
    claims.push(packed[at3 + 2] as number);
  }
  return {
    op: "accept",
    message,
    queueId,
    at,
    generated,
    envelope,
    reversePath,
    client,
    line,
    size,
    chunks,
    tail,
    addresses,
    lanes,
    claims,
  };
}

function packSettle(command: SettleCommand): unknown[] {
  const { attempt, generated, warned, postponed } = command;
  const told = generated.length > 0 || warned || postponed.length > 0;
  const packed: unknown[] = [
    SETTLE,
    command.claim,
    command.message,
    command.now,
    command.size,
    command.recipients,
    attempt?.lane,
    attempt?.at,
    attempt?.record,
    told ? { generated, warned, postponed } : undefined,
  ];
  for (const row of command.settled) packed.push(row.index, row.state, row.due, row.heldBy, row.ambiguous, row.cause, row.reply, row.moved);
  return packed;
}

function unpackSettle(packed: readonly unknown[]): SettleCommand {
  const [, claim, message, now, size, recipients, lane, at, record, told] = packed as [
    number,
    number,
    number,
    number,
    number,
    number,
    string | undefined,
    number,
    string,
    Pick<SettleCommand, "generated" | "warned" | "postponed"> | undefined,
  ];
  const { generated, warned, postponed } = told ?? NOTHING_TOLD;
  const settled: SettledRow[] = [];
  for (let from = 10; from < packed.length; from += ROW_FIELDS) {
    const [index, state, due, heldBy, ambiguous, cause, reply, moved] = packed.slice(from, from + ROW_FIELDS) as [
      number,
      number,
      number,
      number | null,
      boolean,
      string | null,
      string | null,
      MovedTo | null,
    ];
    settled.push({ index, state, due, heldBy, ambiguous, cause, reply, moved });
  }
  const attempt = lane === undefined ? undefined : { lane, at, record };
  return { op: "settle", claim, message, now, size, recipients, settled, attempt, generated, warned, postponed };
}

/** Makes a command ready to cross. */
export function pack(command: Command): Wire {
  if (command.op === "accept") return packAccept(command);
  if (command.op === "settle") return packSettle(command);
  return command;
}

/** The command as it was. */
export function unpack(wire: Wire): Command {
  if (!Array.isArray(wire)) return wire as Command;
  return wire[0] === ACCEPT ? unpackAccept(wire) : unpackSettle(wire);
}
