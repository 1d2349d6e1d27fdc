/** Where queue commands read from: the running daemon, else the queue's file itself. */
import { join } from "node:path";
import { controlSocketPath } from "../admin/control-socket.ts";
import type { Config } from "../config/config.ts";
import type { MessageView, QueueEntry, QueueFilter } from "../queue/queue.ts";
import { isUnavailable, openControlClient } from "./control-client.ts";

export interface QueueSource {
  list(filter: QueueFilter, limit: number): Promise<readonly QueueEntry[]>;
  show(queueId: string): Promise<MessageView | undefined>;
}

/** Asks the daemon; when none is running, opens the file read-only for the one question. */
export function queueSource(config: Pick<Config, "data_dir">): QueueSource {
  const client = openControlClient(controlSocketPath(config.data_dir));
  return {
    list: async (filter, limit) =>
      withoutDaemon(
        config,
        async () => ((await client.get(`/api/v1/queue?${toQuery(filter, limit)}`)) as { entries: QueueEntry[] }).entries,
        (reader) => reader.list(filter, limit),
      ),
    show: async (queueId) =>
      withoutDaemon(
        config,
        async () => (await client.get(`/api/v1/queue/${queueId}`)) as MessageView,
        (reader) => reader.show(queueId),
      ),
  };
}

type Reader = Awaited<ReturnType<typeof openReader>>;

async function withoutDaemon<T>(config: Pick<Config, "data_dir">, ask: () => Promise<T>, read: (reader: Reader) => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!isUnavailable(error)) throw error;
  }
  const reader = await openReader(join(config.data_dir, "queue"));
  try {
    return await read(reader);
  } finally {
    await reader.close();
  }
}

async function openReader(directory: string) {
  return (await import("../queue/reader.ts")).openQueueReader(directory);
}

/** A filter as the control API takes it. */
export function toQuery(filter: QueueFilter, limit: number): string {
  const { ids, states, lane, client, device, from, to, acceptedBefore } = filter;
  const query = new URLSearchParams({ limit: String(limit) });
  const values = {
    id: ids?.join(","),
    state: states?.join(","),
    lane,
    client,
    device,
    from,
    to,
    acceptedBefore: acceptedBefore?.toString(),
  };
  for (const [key, value] of Object.entries(values)) if (value !== undefined) query.set(key, value);
  return query.toString();
}
