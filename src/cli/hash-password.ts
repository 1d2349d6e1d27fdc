/** `postern hash-password`: what goes under `password_hash` in the configuration. */
import { hashPassword } from "../config/password.ts";
import { PosternError } from "../mail/errors.ts";
import type { GlobalOptions } from "./options.ts";
import { print, printJson } from "./table.ts";

const MOST_OCTETS = 1024;

/** Asks without echo on a terminal, else reads one line of standard input. */
export async function hashPasswordCommand(options: GlobalOptions): Promise<number> {
  const password = process.stdin.isTTY ? await askTwice() : await readLine();
  if (password === "") throw new PosternError("E_USAGE", "the password is empty");
  if (Buffer.byteLength(password) > MOST_OCTETS) throw new PosternError("E_USAGE", `the password is longer than ${MOST_OCTETS} octets`);
  const hash = await hashPassword(password);
  if (options.json) printJson({ password_hash: hash });
  else print(hash);
  return 0;
}

async function askTwice(): Promise<string> {
  const first = await ask("Password: ");
  if ((await ask("Once more: ")) !== first) throw new PosternError("E_USAGE", "the two passwords differ");
  return first;
}

/** Reads keys one by one, because in raw mode the terminal shows nothing of them. */
function ask(prompt: string): Promise<string> {
  process.stderr.write(prompt);
  process.stdin.setRawMode(true);
  process.stdin.setEncoding("utf8");
  return new Promise((resolve, reject) => {
    let typed = "";
    const finish = (): void => {
      process.stdin.removeListener("data", onKeys);
      process.stdin.setRawMode(false);
      process.stdin.pause();
      process.stderr.write("\n");
    };
    const onKeys = (keys: string): void => {
      for (const key of keys) {
        if (key === "\u0003" || key === "\u0004") {
          finish();
          return reject(new PosternError("E_USAGE", "no password was given"));
        }
        if (key === "\r" || key === "\n") {
          finish();
          return resolve(typed);
        }
        typed = key === "\u007f" || key === "\b" ? typed.slice(0, -1) : typed + key;
      }
    };
    process.stdin.on("data", onKeys);
    process.stdin.resume();
  });
}

async function readLine(): Promise<string> {
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const part of process.stdin) {
    text += String(part);
    if (text.includes("\n") || text.length > 2 * MOST_OCTETS) break;
  }
  return (text.split("\n")[0] ?? "").replace(/\r$/, "");
}
