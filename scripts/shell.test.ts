import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runProcess } from "../test/support/process.ts";
import { hasTool } from "../test/support/tools.ts";

test.skipIf(!hasTool("shellcheck"))("shell scripts have no known trap (needs shellcheck)", async () => {
  const script = fileURLToPath(new URL("../.ci/run", import.meta.url));

  const run = await runProcess("shellcheck", [script]);

  expect(run).toMatchObject({ code: 0, stdout: "" });
});
