/** The folder of everything that lasts. What keeps us from writing there is a fault of the machine, told in one line with what to do. */
import { access, constants } from "node:fs/promises";
import { describeError, PosternError } from "../mail/errors.ts";
import { errorName, makeDirectory } from "../platform/files.ts";

/**
 * Makes it where it is not there, and sees that it can be written to.
 *
 * @throws PosternError E_CONFIG where this user may not, E_UNAVAILABLE where its file system is read-only, which a later start may find mended
 */
export async function prepareDataDir(path: string): Promise<void> {
  await usingDataDir(path, async () => {
    await makeDirectory(path, 0o700);
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  });
}

/** Runs what reads and writes below it; the file system's refusals become faults that an operator understands. */
export async function usingDataDir<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw dataDirFault(path, error);
  }
}

function dataDirFault(path: string, error: unknown): unknown {
  if (error instanceof PosternError || !(error instanceof Error)) return error;
  const said = (what: string): string => `data_dir ${path} cannot be used: ${describeError(error)}; ${what}`;
  switch (errorName(error)) {
    case "EACCES":
    case "EPERM":
      return new PosternError(
        "E_CONFIG",
        said("all of it must belong to the user that runs postern: chown -R USER, or name another folder"),
        {
          cause: error,
        },
      );
    case "ENOENT":
    case "ENOTDIR":
      return new PosternError("E_CONFIG", said("name a folder on a local disk"), { cause: error });
    case "EROFS":
      return new PosternError("E_UNAVAILABLE", said("mount its file system for writing, or name another folder"), { cause: error });
    case "ENOSPC":
      return new PosternError("E_TEMPORARY", said("the disk is full: make room on its file system"), { cause: error });
    case "EDQUOT":
      return new PosternError("E_TEMPORARY", said("its quota is used up: raise it, or make room within it"), { cause: error });
    default:
      return error;
  }
}
