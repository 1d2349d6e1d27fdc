/** `data_dir/deliver/tokens.json`: whole after a crash, readable for nobody but the service. A file that makes no sense opens nothing. */
import { chown, mkdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describeError, PosternError } from "../mail/errors.ts";
import { writeFileAtomic } from "../platform/files.ts";
import { isTokenRecord, type TokenRecord } from "./token.ts";

/** Where the tokens of a data_dir are. */
export function tokenFilePath(dataDir: string): string {
  return join(dataDir, "deliver", "tokens.json");
}

/**
 * What the file holds; undefined where there is none.
 *
 * @throws PosternError E_UNAVAILABLE for one that cannot be read or is damaged; it is left as it is
 */
export async function readTokenFile(path: string): Promise<readonly TokenRecord[] | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new PosternError("E_UNAVAILABLE", `${path} cannot be read: ${code ?? describeError(error)}`, { cause: error });
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw damaged(path, "it is not JSON");
  }
  const { version, tokens } = (content ?? {}) as { readonly version?: unknown; readonly tokens?: unknown };
  if (version !== 1 || !Array.isArray(tokens)) throw damaged(path, "it is not a list of tokens");
  // One that cannot be understood may be one that was meant to be narrower: nothing of the file is trusted.
  if (!tokens.every(isTokenRecord)) throw damaged(path, "an entry of it is no token");
  return tokens;
}

/** Replaces the file; when it resolves it is on disk. The folder is made where it is missing, and belongs to whom data_dir belongs. */
export async function writeTokenFile(path: string, tokens: readonly TokenRecord[]): Promise<void> {
  const folder = dirname(path);
  const dataDir = dirname(folder);
  // An administrator may come as root, before the first start; the service that reads the file is somebody else.
  const above = await stat(dirname(dataDir)).catch(() => undefined);
  const made = await mkdir(folder, { recursive: true, mode: 0o700 });
  const isRoot = process.getuid?.() === 0;
  if (isRoot && made !== undefined) {
    const owner = made === folder ? await stat(dataDir) : above;
    if (owner !== undefined) for (const one of new Set([made, folder])) await chown(one, owner.uid, owner.gid);
  }
  await writeFileAtomic(path, `${JSON.stringify({ version: 1, tokens }, undefined, 1)}\n`);
  if (!isRoot) return;
  const { uid, gid } = await stat(folder);
  await chown(path, uid, gid);
}

/** Another value whenever the file is another one; `not there` where it is missing. */
export async function looksOfTokenFile(path: string): Promise<string> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(path);
    return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? "not there" : describeError(error);
  }
}

function damaged(path: string, why: string): PosternError {
  return new PosternError("E_UNAVAILABLE", `${path} is damaged (${why}): move it away, then add the tokens anew with postern token add`);
}
