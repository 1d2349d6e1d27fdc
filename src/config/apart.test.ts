import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp-dir.ts";
import { readConfigApart } from "./apart.ts";

test("a file that does not answer, as on a share that is away, is waited for only so long", async () => {
  await using folder = await tempDir();
  const path = join(folder.path, "postern.yaml");
  // Whoever opens it waits for a writer.
  execFileSync("mkfifo", [path]);

  const read = readConfigApart(path, undefined, 500);

  await expect(read).rejects.toMatchObject({
    code: "E_UNAVAILABLE",
    message: expect.stringContaining(`${path} could not be read in 0.5 s`),
  });
});
