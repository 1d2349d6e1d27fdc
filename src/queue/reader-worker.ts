/** A thread for looking: long lists and searches hold up neither the event loop nor the commits. */
import { parentPort, workerData } from "node:worker_threads";
import { describeError } from "../mail/errors.ts";
import { openForReading } from "./connection.ts";
import { isDamaged } from "./faults.ts";
import type { MessageQuery, QueueFilter } from "./queue.ts";
import { QueueFileReader } from "./reader.ts";

/** What can be asked. */
export type Question =
  | { readonly what: "list"; readonly filter: QueueFilter; readonly limit: number; readonly after: string | undefined }
  | { readonly what: "show"; readonly queueId: string }
  | { readonly what: "find"; readonly query: MessageQuery; readonly limit: number }
  | { readonly what: "contentRow"; readonly queueId: string; readonly place: number }
  | { readonly what: "select"; readonly filter: QueueFilter }
  | { readonly what: "waiting"; readonly recipients: readonly number[] }
  | { readonly what: "movable"; readonly after: number; readonly limit: number; readonly lane: string | undefined };

/** The answer to a question by its number. */
export type Reading =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly fault: string; readonly isDamaged: boolean };

function answerTo(reader: QueueFileReader, question: Question): unknown {
  switch (question.what) {
    case "list":
      return reader.list(question.filter, question.limit, question.after);
    case "show":
      return reader.show(question.queueId);
    case "find":
      return reader.find(question.query, question.limit);
    case "contentRow":
      return reader.contentRow(question.queueId, question.place);
    case "select":
      return reader.select(question.filter);
    case "waiting":
      return reader.waiting(question.recipients);
    case "movable":
      return reader.movable(question.after, question.limit, question.lane);
    default:
      throw new Error(`no question ${String(question satisfies never)}`);
  }
}

const port = parentPort;
if (port === null) throw new Error("this file is started as a worker thread");
const { path } = workerData as { path: string };
const reader = new QueueFileReader(openForReading(path), path);
port.on("message", (request: { id: number; question: Question } | "close") => {
  if (request === "close") {
    reader.close();
    port.close();
    return;
  }
  const { id, question } = request;
  try {
    port.postMessage({ id, answer: answerTo(reader, question) } satisfies Reading);
  } catch (error) {
    port.postMessage({ id, fault: describeError(error), isDamaged: isDamaged(error) } satisfies Reading);
  }
});
