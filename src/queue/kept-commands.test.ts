import { expect, test } from "vitest";
import { PosternError } from "../mail/errors.ts";
import { ManualClock } from "../platform/clock.ts";
import { KeptCommands, SUPERSEDED } from "./kept-commands.ts";
import type { Done } from "./link.ts";
import type { Command } from "./protocol.ts";

const NO_ROOM = new PosternError("E_SPOOL_FULL", "the disk is full");
const commandOf = (job: number): Command => ({ op: "release", lane: "scans", now: 0, job });

/** A queue whose disk is full or not, and the commands that it answers one after the other. */
function disk() {
  const clock = new ManualClock();
  const sent: number[] = [];
  const answers: (readonly [job: number, answer: unknown])[] = [];
  const link = {
    isFull: true,
    fault: undefined as PosternError | undefined,
    post(command: Command, done: Done): void {
      const { job } = command as Extract<Command, { op: "release" }>;
      sent.push(job);
      if (link.fault !== undefined) done(undefined, link.fault);
      else if (link.isFull) done(undefined, NO_ROOM);
      else done("written", undefined);
    },
  };
  let ranOut = 0;
  const kept = new KeptCommands(link, clock, () => ranOut++);
  const post = (job: number, isWanted?: () => boolean): void =>
    kept.post(commandOf(job), (answer, fault) => answers.push([job, fault?.code ?? answer]), { isWanted });
  return { clock, link, kept, sent, answers, post, ranOut: () => ranOut };
}

test("what finds no room is sent again each second, in the order it came, until it is written; nobody hears of it", () => {
  const { clock, link, sent, answers, post, ranOut } = disk();

  post(1);
  clock.advance(500);
  post(2);
  clock.advance(500);
  clock.advance(1_000);
  const whileFull = { sent: [...sent], answers: [...answers], ranOut: ranOut() };
  link.isFull = false;
  clock.advance(1_000);
  clock.advance(10_000);

  expect(whileFull).toEqual({ sent: [1, 2, 1, 2, 1, 2], answers: [], ranOut: 6 });
  expect(sent.slice(6)).toEqual([1, 2]);
  expect(answers).toEqual([
    [1, "written"],
    [2, "written"],
  ]);
});

test("a command whose place another one took meanwhile is not sent any more", () => {
  const { clock, link, sent, answers, post } = disk();

  post(1, () => false);
  post(2, () => true);
  link.isFull = false;
  clock.advance(1_000);

  expect(sent).toEqual([1, 2, 2]);
  expect(answers).toEqual([
    [1, SUPERSEDED],
    [2, "written"],
  ]);
});

test("at the end everything is sent once more, and is told what it finds", () => {
  const full = disk();
  full.post(1);
  full.kept.end();
  full.post(2);

  const broken = disk();
  broken.post(1);
  broken.link.fault = new PosternError("E_SPOOL_FAILED", "disk I/O error");
  broken.kept.end();

  expect(full.answers).toEqual([
    [1, "E_SPOOL_FULL"],
    [2, "E_SPOOL_FULL"],
  ]);
  expect(full.clock.pending).toBe(0);
  expect(broken.answers).toEqual([[1, "E_SPOOL_FAILED"]]);
});

test("any other fault is handed on at once", async () => {
  const { link, kept } = disk();
  link.fault = new PosternError("E_SPOOL_FAILED", "disk I/O error");

  await expect(kept.ask(commandOf(1))).rejects.toBe(link.fault);
});
