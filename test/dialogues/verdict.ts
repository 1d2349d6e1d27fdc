/** Plays all that a row has, in every manner, and says what came of it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./dialogue.ts";
import type { Dialogue, Row } from "./dialogue.ts";
import { openStage, play } from "./player.ts";
import type { Manner, Stage } from "./player.ts";

/** Dialogues up to this many octets are cut at every place, where all places are wanted. */
const EVERY_CUT_UP_TO = 600;
const SAMPLE = 60;

export interface Verdict {
  /** What failed, one line each. */
  readonly faults: readonly string[];
  readonly plays: number;
}

/** @param cuts - how many places of each dialogue are tried, chosen by the row; `every` for all of them in short dialogues */
export async function judgeRow(row: Row, cuts: number | "every"): Promise<Verdict> {
  const faults = missingTests(row);
  let plays = 0;
  if (row.dialogues.length + row.coveredBy.length === 0) faults.push("nothing is tested");
  for (const dialogue of row.dialogues) {
    const verdict = await judgeDialogue(dialogue, cuts, row.row);
    plays += verdict.plays;
    faults.push(...verdict.faults.map((fault) => `${dialogue.name}: ${fault}`));
  }
  return { faults, plays };
}

async function judgeDialogue(dialogue: Dialogue, cuts: number | "every", seed: number): Promise<Verdict> {
  let stage = await openStage(dialogue);
  let plays = 0;
  try {
    for (const manner of manners(dialogue, cuts, seed)) {
      if (plays > 0 && remembers(dialogue)) stage = await anotherStage(stage, dialogue);
      plays += 1;
      const fault = await play(dialogue, stage, manner);
      if (fault !== undefined)
        return { faults: [`${typeof manner === "string" ? manner : `cut at octet ${manner.cut}`}: ${fault}`], plays };
    }
    return { faults: [], plays };
  } finally {
    await stage.close();
  }
}

/** A listener that knows the messages of the play before would take the next for a repeat. */
function remembers({ settings }: Dialogue): boolean {
  return settings.quirks?.["suppressRepeatsWithinMs"] !== undefined;
}

async function anotherStage(stage: Stage, dialogue: Dialogue): Promise<Stage> {
  await stage.close();
  return await openStage(dialogue);
}

function* manners({ steps, waits, settings }: Dialogue, cuts: number | "every", seed: number): Generator<Manner> {
  yield "in turn";
  // Where a time-out is waited for, once is enough: it must not strike a slow machine in the middle of another step.
  if (settings.limits?.["dataIdleMs"] !== undefined) return;
  if (!waits) yield "at once";
  const octets = steps.reduce((sum, step) => sum + (step.kind === "send" ? step.octets.length : 0), 0);
  const most = cuts === "every" ? (octets <= EVERY_CUT_UP_TO ? octets : SAMPLE) : cuts;
  const step = most >= octets ? 1 : octets / most;
  for (let at = most >= octets ? 1 : 1 + (seed % Math.ceil(step)); at < octets; at += step) yield { cut: Math.floor(at), waits };
}

/** A row that another test covers is only covered while that test is there. */
function missingTests({ coveredBy }: Row): string[] {
  return coveredBy.flatMap(({ file, test }) => {
    const text = readFileSync(join(ROOT, file), "utf8");
    return text.includes(test) ? [] : [`${file} has no ${JSON.stringify(test)}`];
  });
}
