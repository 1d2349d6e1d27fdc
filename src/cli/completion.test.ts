import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PROGRAM } from "../../test/support/postern.ts";
import { runProcess } from "../../test/support/process.ts";
import { tempDir } from "../../test/support/temp-dir.ts";
import { hasTool } from "../../test/support/tools.ts";

const completion = (shell: string) => runProcess(process.execPath, [PROGRAM, "completion", shell]);

/** What bash offers after these words, the last of which is being typed. */
async function offered(...words: readonly string[]): Promise<string[]> {
  await using folder = await tempDir();
  const { stdout } = await completion("bash");
  const file = join(folder.path, "postern");
  await writeFile(file, stdout);
  const asked = `source ${file}; COMP_WORDS=(postern ${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length}; _postern; printf '%s\\n' "\${COMPREPLY[@]}"`;
  // With a socket as its input bash takes itself for a remote shell, and reads the machine's own settings.
  const answer = await runProcess("bash", ["--norc", "-euc", asked]);
  expect(answer).toMatchObject({ code: 0, stderr: "" });
  return answer.stdout.split("\n").filter((word) => word !== "");
}

test.skipIf(!hasTool("bash"))("bash completes commands, commands of commands, and options, wherever options stand", async () => {
  expect(await offered("que")).toEqual(["queue"]);
  expect(await offered("queue", "re")).toEqual(["retry", "release"]);
  expect(await offered("--config", "x.yaml", "queue", "list", "--older")).toEqual(["--older-than"]);
  expect(await offered("queue", "show", "01JD8ZQ3V5W6X7Y8Z9A0B1C2D3", "--js")).toEqual(["--json"]);
});

test.each(["zsh", "fish"])("%s gets its script, with descriptions", async (shell) => {
  const { code, stdout } = await completion(shell);

  expect(code).toBe(0);
  expect(stdout).toContain("everything known of one message");
});

test("a shell that is not known is one line and 64", async () => {
  expect(await completion("csh")).toMatchObject({
    code: 64,
    stderr: 'postern: completion: "csh" is no shell we know; one of bash, zsh, fish\n',
  });
});
