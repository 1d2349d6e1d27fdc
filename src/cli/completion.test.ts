import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { PROGRAM } from "../../test/support/postern.ts";
import { runProcess } from "../../test/support/process.ts";
import { tempDir } from "../../test/support/temp-dir.ts";
import { hasTool } from "../../test/support/tools.ts";

const completion = (shell: string) => runProcess(process.execPath, [PROGRAM, "completion", shell]);

/** How each shell is asked what it offers for the last of the words, which is being typed. */
const ASK = {
  bash: (file: string, words: readonly string[]) =>
    `source ${file}; COMP_WORDS=(postern ${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length}; _postern; printf '%s\\n' "\${COMPREPLY[@]}"`,
  // The line editor's part is played: what it would be given to choose from begins with the word that is typed.
  zsh: (file: string, words: readonly string[]) =>
    `_describe() { print -l -- \${(M)\${choices%%:*}:#\${words[CURRENT]}*}; }; _files() { print -l -- \${words[CURRENT]}*; }
     words=(postern ${words.map((word) => `'${word}'`).join(" ")}); CURRENT=${words.length + 1}; f() { source ${file}; }; f || :`,
  fish: (file: string, words: readonly string[]) =>
    `source ${file}; complete -C 'postern ${words.join(" ")}' | string replace -r '\\t.*' ''; true`,
} as const;

/** Sorted. */
async function offered(shell: keyof typeof ASK, ...words: readonly string[]): Promise<string[]> {
  await using folder = await tempDir();
  const { stdout } = await completion(shell);
  const file = join(folder.path, "script");
  await writeFile(file, stdout);
  await writeFile(join(folder.path, "answers.yaml"), "");
  // With a socket as its input bash takes itself for a remote shell, and reads the machine's own settings.
  const bare = { bash: ["--norc", "-euc"], zsh: ["-fc"], fish: ["--no-config", "-c"] }[shell];
  const answer = await runProcess(shell, [...bare, ASK[shell](file, words)], { cwd: folder.path });
  expect(answer).toMatchObject({ code: 0, stderr: "" });
  return answer.stdout
    .split("\n")
    .filter((word) => word !== "")
    .toSorted();
}

describe.each(["bash", "zsh", "fish"] as const)("%s", (shell) => {
  test.skipIf(!hasTool(shell))("completes commands, commands of commands, and options, wherever options stand", async () => {
    expect(await offered(shell, "que")).toEqual(["queue"]);
    expect(await offered(shell, "queue", "re")).toEqual(["release", "retry"]);
    expect(await offered(shell, "--config", "x.yaml", "queue", "list", "--older")).toEqual(["--older-than"]);
    expect(await offered(shell, "queue", "show", "01JD8ZQ3V5W6X7Y8Z9A0B1C2D3", "--js")).toEqual(["--json"]);
  });

  test.skipIf(!hasTool(shell))("offers files where an option takes one, and nothing where it takes another value", async () => {
    expect(await offered(shell, "setup", "--answers", "ans")).toEqual(["answers.yaml"]);
    expect(await offered(shell, "queue", "list", "--from", "re")).toEqual([]);
    expect(await offered(shell, "queue", "list", "--from", "release", "--lim")).toEqual(["--limit"]);
  });
});

test.each(["zsh", "fish"])("%s gets descriptions, too", async (shell) => {
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
