/** Places for queues on SQLite, in temporary directories. */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openQueue } from "../../src/queue/open.ts";
import { openQueueReader } from "../../src/queue/reader.ts";
import type { QueuePlace } from "./queue.ts";

function place(directory: string): QueuePlace {
  return {
    open: (options) => openQueue({ directory, floorBytes: 0, ...options }),
    openReader: () => openQueueReader(directory),
    // What was synced is in the two files; the index of the log is made anew from them.
    async afterPowerCut() {
      const copy = mkdtempSync(join(tmpdir(), "postern-queue-cut-"));
      for (const file of ["queue.db", "queue.db-wal"]) cpSync(join(directory, file), join(copy, file));
      return place(copy);
    },
    async damage(queueId) {
      const db = new DatabaseSync(join(directory, "queue.db"));
      db.exec("PRAGMA busy_timeout = 5000");
      db.prepare(
        "UPDATE content SET data = CAST(X'00' || substr(data, 2) AS BLOB) WHERE k / 16384 = (SELECT id FROM message WHERE queue_id = ?)",
      ).run(queueId);
      db.close();
    },
    async remove() {
      rmSync(directory, { recursive: true });
    },
  };
}

/** A new, empty place. */
export async function sqlitePlace(): Promise<QueuePlace> {
  return place(mkdtempSync(join(tmpdir(), "postern-queue-")));
}
