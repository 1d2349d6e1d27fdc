import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { searchDataFolders } from "./canaries/canaries.ts";

/** A folder of one's own that goes away with `remove()`, once what relays kept in it was searched for secrets, or at the end of an `await using` block. */
export interface TempDir extends AsyncDisposable {
  readonly path: string;
  remove(): Promise<void>;
}

/**
 * Makes a folder with mode 0700.
 *
 * @param parent - default the system's folder for temporary files; give another where the file system matters (fsync)
 */
export async function tempDir(prefix = "postern-test-", parent: string = tmpdir()): Promise<TempDir> {
  const path = await mkdtemp(join(parent, prefix));
  const remove = async () => {
    await searchDataFolders(path);
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  };
  return { path, remove, [Symbol.asyncDispose]: remove };
}
