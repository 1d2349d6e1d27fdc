/** Files that must be whole after a crash, and folders that must be private. */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { constants } from "node:os";
import { dirname } from "node:path";

/**
 * Replaces a file so that at every moment, a power cut included, either the old or the new content is there whole.
 *
 * @param mode - permission bits of the new file; default 0600
 */
export async function writeFileAtomic(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(content);
      // The mask of the process may have taken bits away.
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Name of an error of the system, as `ENOSPC`; undefined for other errors. A quota that is used up, EDQUOT, has a number only in Node. */
export function errorName(error: unknown): string | undefined {
  const { code, errno } = error as NodeJS.ErrnoException;
  return errno === -constants.errno.EDQUOT ? "EDQUOT" : code;
}

/** True where the file system had no room, or none for this user. */
export function isOutOfRoom(error: unknown): boolean {
  const name = errorName(error);
  return name === "ENOSPC" || name === "EDQUOT";
}

/** Makes what was created, renamed or removed in a folder durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Creates a folder and those above it. Not by `recursive`: where a file system answers ENOENT below a folder that is there (procfs, an
 * automounter), Node then tries for ever.
 *
 * @throws what the file system says
 */
export async function makeDirectory(path: string, mode = 0o777): Promise<void> {
  const attempt = async (): Promise<NodeJS.ErrnoException | undefined> => {
    try {
      await mkdir(path, { mode });
      return undefined;
    } catch (error) {
      const fault = error as NodeJS.ErrnoException;
      if (fault.code === "EEXIST" && (await stat(path)).isDirectory()) return undefined;
      return fault;
    }
  };
  const first = await attempt();
  if (first === undefined) return;
  const above = dirname(path);
  if (first.code !== "ENOENT" || above === path) throw first;
  await makeDirectory(above, mode);
  const second = await attempt();
  if (second !== undefined) throw second;
}

/** Creates a folder that only its owner may enter, or makes an existing one so. */
export async function ensurePrivateDirectory(path: string): Promise<void> {
  await makeDirectory(path, 0o700);
  await chmod(path, 0o700);
}
