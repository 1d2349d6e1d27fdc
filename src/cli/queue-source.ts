/** Where queue commands read from: the running daemon, else the queue's file itself. */
import { join } from "node:path";
import { controlSocketPath } from "../admin/control-socket.ts";
import type { Config } from "../config/config.ts";
import { PosternError } from "../mail/errors.ts";
import type { FoundMessage, MessageQuery, MessageView, QueueEntry, QueueFilter } from "../queue/queue.ts";
import { isUnavailable, noteNotRunning, openControlClient } from "./control-client.ts";
import { checkName } from "./known-names.ts";

export interface QueueSource {
  list(filter: QueueFilter, limit: number): Promise<readonly QueueEntry[]>;
  show(queueId: string): Promise<MessageView | undefined>;
  find(query: MessageQuery, limit: number): Promise<readonly FoundMessage[]>;
  /** The stored content row by row. @throws PosternError when there is none (any more), or it is damaged */
  content(queueId: string): AsyncGenerator<Uint8Array>;
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
    find: async (query, limit) =>
      withoutDaemon(
        config,
        async () => ((await client.get(`/api/v1/messages?${toMessageQuery(query, limit)}`)) as { messages: FoundMessage[] }).messages,
        (reader) => reader.find(query, limit),
      ),
    content: (queueId) => readContent(config, queueId),
  };
}

/** @throws PosternError E_USAGE for an upstream or a client that neither the configuration nor the queue knows */
export async function checkNames(
  configPath: string,
  source: QueueSource,
  { upstream, client }: { readonly upstream?: string; readonly client?: string },
): Promise<void> {
  const place = "in the queue";
  await checkName(configPath, "--upstream", upstream, { place, has: async (lane) => (await source.list({ lane }, 1)).length > 0 });
  await checkName(configPath, "--client", client, { place, has: async (name) => (await source.list({ client: name }, 1)).length > 0 });
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
    const found = await read(reader);
    noteNotRunning();
    return found;
  } finally {
    await reader.close();
  }
}

/** Straight from the file, daemon or not: what is stored never changes, and a large scan need not pass through another process. */
async function* readContent(config: Pick<Config, "data_dir">, queueId: string): AsyncGenerator<Uint8Array> {
  const reader = await openReader(join(config.data_dir, "queue"));
  try {
    if ((await reader.show(queueId)) === undefined) throw new PosternError("E_NO_SUCH_MESSAGE", `no message has the queue id ${queueId}`);
    for (let place = 0; ; place++) {
      const row = await reader.contentRow(queueId, place);
      if (row === undefined) {
        if (place === 0)
          throw new PosternError(
            "E_NO_SUCH_MESSAGE",
            `the content of ${queueId} is not stored any more: it was deleted with its last recipient, or history.failed_content after it failed`,
          );
        return;
      }
      yield row;
    }
  } finally {
    await reader.close();
  }
}

async function openReader(directory: string) {
  return (await import("../queue/reader.ts")).openQueueReader(directory);
}

/** A question as the control API takes it. */
function toMessageQuery(query: MessageQuery, limit: number): string {
  const parameters = new URLSearchParams({ limit: String(limit) });
  for (const [key, value] of Object.entries(query) as [string, string | number | undefined][])
    if (value !== undefined) parameters.set(key, String(value));
  return parameters.toString();
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
