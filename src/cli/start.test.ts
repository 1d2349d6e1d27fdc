/** What a command loads before it answers: an operator types many, and waits for each. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL, fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runProcess } from "../../test/support/process.ts";
import { tempDir } from "../../test/support/temp-dir.ts";

const main = fileURLToPath(new URL("../main.ts", import.meta.url));

/** Tells of each module, and of Node's own at the end. */
const TELL = `import { registerHooks } from "node:module";
registerHooks({ load(url, context, next) { process.stderr.write("loaded " + url + "\\n"); return next(url, context); } });
process.on("exit", () => process.stderr.write(process.moduleLoadList.map((name) => "loaded " + name).join("\\n") + "\\n"));
`;

test.each([
  [["queue", "list"], /never started with this data_dir/],
  [["trace", "9:14"], /never started with this data_dir/],
  [["status"], /not running/],
  [["devices", "show", "10.20.3.7"], /no device/],
])("postern %j loads neither the schema of the configuration nor an HTTP library", async (words, fault) => {
  await using folder = await tempDir();
  const tell = join(folder.path, "tell.mjs");
  const config = join(folder.path, "postern.yaml");
  await writeFile(tell, TELL);
  await writeFile(config, "data_dir: data\n");

  const { stderr } = await runProcess(process.execPath, ["--import", pathToFileURL(tell).href, main, ...words, "--config", config]);
  const loaded = stderr.split("\n").filter((line) => line.startsWith("loaded "));

  expect(loaded.filter((line) => /zod|config\/schema|undici|config\/load/.test(line))).toEqual([]);
  expect(loaded.some((line) => line.includes("/yaml/"))).toBe(true);
  expect(stderr).toMatch(fault);
});
