import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { staleFiles } from "./generate.ts";

test("the generated files in the repository are fresh", async () => {
  expect(await staleFiles()).toEqual([]);
});

test("a generated file that differs, or is missing, is stale", async () => {
  const folder = await mkdtemp(join(tmpdir(), "postern-generate-"));
  await writeFile(join(folder, "same"), "a");
  await writeFile(join(folder, "other"), "b");
  const render = () => "a";

  const stale = await staleFiles(
    [
      { path: "same", render },
      { path: "other", render },
      { path: "missing", render },
    ],
    pathToFileURL(`${folder}/`),
  );
  await rm(folder, { recursive: true });

  expect(stale).toEqual(["other", "missing"]);
});
