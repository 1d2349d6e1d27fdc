/** Opening the queue to own it. To only look at it: `openQueueReader` in reader.ts. */
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import { SqliteQueue } from "./client.ts";
import { DiskWatch, foundInstead, prepareDirectory } from "./disk.ts";
import { WorkerLink } from "./link.ts";
import { takeOwnership } from "./owner.ts";
import type { Queue, QueueLimits, RouteRecipient } from "./queue.ts";

/** What a queue needs to know. */
export interface QueueOptions extends QueueLimits {
  /** `data_dir`/queue; made when missing (0700). Must be on a local disk. */
  readonly directory: string;
  readonly route: RouteRecipient;
  readonly emit: Emit;
  readonly clock: Clock;
  /** Shared memory for content on its way to the disk. Default 16 MiB. */
  readonly poolBytes?: number | undefined;
  /** Length of the write-ahead log from which it is copied into the file even when the queue is busy. Default 64 MiB. */
  readonly checkpointBytes?: number | undefined;
  /** Free octets at a path; another one for tests. */
  readonly measureFree?: ((path: string) => Promise<number>) | undefined;
  /** Never syncs. Only to show that crash tests can fail: every 250 is a lie then. */
  readonly unsafeNoSync?: boolean | undefined;
}

const DEFAULT_POOL_BYTES = 16 * 1024 * 1024;
const DEFAULT_CHECKPOINT_BYTES = 64 * 1024 * 1024;

/**
 * Opens the queue, which is ready at once; what a crash left behind is put right, and content that nobody answers for is deleted in the background.
 * Only one process may have it open like this, which a lock enforces.
 *
 * @throws PosternError E_UNAVAILABLE when another process owns it, E_SPOOL_NEWER for a file of a newer version, E_SPOOL_DAMAGED for a
 *   damaged one, E_CONFIG on a network file system, E_SPOOL_FULL when there is no room to open it, E_SPOOL_FAILED when it cannot be opened
 */
export async function openQueue(options: QueueOptions): Promise<Queue> {
  const { directory, route, emit, clock, floorBytes, maxBytes, historyKeepMs, failedContentMs, measureFree } = options;
  const found = await foundInstead(directory);
  const path = await prepareDirectory(directory);
  const release = takeOwnership(directory);
  const disk = new DiskWatch(directory, floorBytes, clock, emit, measureFree);
  const queue = new SqliteQueue({ path, route, emit, clock, disk, maxBytes, historyKeepMs, failedContentMs, release });
  const settings = {
    path,
    now: clock.now(),
    synchronous: options.unsafeNoSync === true ? ("OFF" as const) : ("FULL" as const),
    checkpointBytes: options.checkpointBytes ?? DEFAULT_CHECKPOINT_BYTES,
  };
  const { link, opened } = await WorkerLink.open(settings, queue, options.poolBytes ?? DEFAULT_POOL_BYTES).catch((error: unknown) => {
    release();
    throw error;
  });
  await disk.start();
  queue.attach(link, opened);
  if (found !== undefined) emit({ type: "queue.begun", path, found });
  emit({ type: "queue.opened", path, schemaVersion: opened.schemaVersion, waiting: opened.waiting });
  if (opened.recovered > 0 || opened.swept > 0)
    emit({ type: "queue.recovered", ambiguousRecipients: opened.recovered, sweptContent: opened.swept });
  return queue;
}
