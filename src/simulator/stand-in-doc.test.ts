import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { FAULTS } from "./fault-table.ts";
import type { FaultDefinition } from "./fault-table.ts";

/** What the page says a fault answers. */
function answerOf({ action }: FaultDefinition): string {
  switch (action.kind) {
    case "reply":
      return `\`${action.text}\`${action.close === true ? ", closes" : ""}`;
    case "delay":
      return `the normal answer, ${action.ms / 1000} s later`;
    case "hold":
      return "no answer until cleared";
    case "omit":
      return `${action.keyword} is not offered`;
    case "aadsts":
      return `AADSTS${action.code}`;
    case "http":
      return `HTTP ${action.status}`;
    default:
      return "connection reset";
  }
}

test("the page about the stand-in lists every fault as the code has it", () => {
  const page = readFileSync(new URL("../../docs/stand-in.md", import.meta.url), "utf8");
  const head = ["| fault | stage | row | recipient | meaning | answer |", "|---|---|---|---|---|---|"];
  const rows = FAULTS.map((fault) => {
    const recipient = fault.recipient === undefined ? "" : `\`${fault.recipient}@\``;
    return `| \`${fault.name}\` | ${fault.stage} | ${fault.row ?? ""} | ${recipient} | ${fault.meaning} | ${answerOf(fault)} |`;
  });

  const table = /<!-- faults: begin -->\n([\s\S]*?)\n<!-- faults: end -->/.exec(page)?.[1];

  expect(table?.trim().split("\n")).toEqual([...head, ...rows]);
});
