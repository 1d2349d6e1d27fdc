/** The stand-in's faults and the judge's table were written apart, from the same catalogue: what one says the other must understand as that row. */
import { describe, expect, test } from "vitest";
import { ANSWERS } from "../../src/deliver/answers.ts";
import { ENTRA } from "../../src/deliver/entra.ts";
import { judgeRefusal, type JudgeContext } from "../../src/deliver/judge.ts";
import type { FaultHost, FaultStage } from "../../src/simulator/fault-model.ts";
import { FAULTS } from "../../src/simulator/fault-table.ts";
import type { Stage, UpstreamType } from "../../src/upstream/upstream.ts";
import { refused } from "../fakes/fake-upstream.ts";

function context(host: FaultHost): JudgeContext {
  const type: UpstreamType = host === "mx" ? "connector" : host === "graph" ? "graph" : "smtp-auth";
  return {
    upstream: "scans",
    type,
    microsoft: true,
    mailbox: host === "mx" ? undefined : "scanner@contoso.com",
    sender: "erp@contoso.com",
    isInternal: (address) => address.endsWith("@contoso.com"),
  };
}

function stageOf(stage: FaultStage): Stage {
  return stage === "graph" || stage === "graph-send" || stage === "graph-answer"
    ? "final"
    : stage === "arc" || stage === "device"
      ? "token"
      : stage;
}

const REPLIES = FAULTS.flatMap(({ name, hosts, stage, row, action }) =>
  action.kind === "reply" && row !== undefined
    ? hosts.map((host) => [name, host, stageOf(stage), row, action.text.replaceAll("{ip}", "203.0.113.7")] as const)
    : [],
);
const GRAPH = FAULTS.flatMap(({ name, stage, action }) =>
  action.kind === "graph" ? [[name, stageOf(stage), `${action.status} ${action.code}: ${action.text}`] as const] : [],
);
const NUMBERS = FAULTS.flatMap(({ action }) => (action.kind === "aadsts" ? [action.code] : []));

describe("the judge understands what the stand-in says", () => {
  test.each(REPLIES)("%s by %s at %s is row %i", (_name, host, stage, row, text) => {
    const { id } = judgeRefusal(refused(stage, text), context(host), { severalRecipients: true });
    const found = ANSWERS.find((candidate) => candidate.id === id);
    // Rows of other services than Exchange Online have no number of their own.
    const numbers = found?.catalogue?.map((number) => Number.parseInt(number, 10)) ?? (found === undefined ? [] : [row]);

    expect({ id, numbers }).toEqual({ id, numbers: expect.arrayContaining([row]) as number[] });
  });

  test.each(GRAPH)("%s at %s is an answer of Graph", (_name, stage, text) => {
    const { id } = judgeRefusal(refused(stage, text), context("graph"));

    expect(ANSWERS.find((candidate) => candidate.id === id)?.doors).toEqual(["graph"]);
  });

  test.each(NUMBERS)("AADSTS%i has a remedy of its own", (number) => {
    expect(ENTRA.some((row) => row.codes.includes(`AADSTS${number}`))).toBe(true);
  });
});
