/**
 * What a message is about: its header, the beginning of its text, and what is attached. Parsed in a thread of its own with bounds on memory and
 * time, because the mail is whatever a device or a stranger sent: what goes beyond them is named, never waited for.
 */
import { Worker } from "node:worker_threads";
import { describeError } from "../../mail/errors.ts";
import { entryPoint } from "../../platform/place.ts";
import type { MessageView } from "../../queue/queue.ts";
import type { Found, Heard, Job, PreviewAttachment, PreviewField } from "./protocol.ts";

/** What is shown of a message. */
export interface Preview {
  /** Decoded, in the order of the message. */
  readonly headers: readonly PreviewField[];
  /** The beginning; absent where there is none in plain text. */
  readonly text?: string | undefined;
  /** Characters of text as HTML, which is never shown. */
  readonly htmlCharacters?: number | undefined;
  readonly attachments: readonly PreviewAttachment[];
  /** What is not shown, and why: one sentence each. Empty when everything is. */
  readonly cut: readonly string[];
}

/** A preview, or why there is none. */
export type ShownPreview = Preview | { readonly unavailable: string };

/** Bounds of one preview. */
export interface PreviewLimits {
  /** Octets that are looked at; and again in smaller bites where that was too much for time or memory. */
  readonly octets: readonly number[];
  /** For each bite. */
  readonly milliseconds: number;
  /** V8's heap of the thread. */
  readonly heapMiB: number;
  readonly fields: number;
  /** Of a field's value. */
  readonly valueCharacters: number;
  readonly textCharacters: number;
  readonly attachments: number;
}

export const PREVIEW_LIMITS: PreviewLimits = {
  octets: [64 * 1024 * 1024, 256 * 1024, 16 * 1024],
  milliseconds: 10_000,
  heapMiB: 128,
  fields: 50,
  valueCharacters: 500,
  textCharacters: 8_000,
  attachments: 50,
};

/** The preview of a message for an operator. That there is none is an answer, not a fault: the rest is known all the same. */
export async function shownPreview(
  { hasContent }: Pick<MessageView, "hasContent">,
  content: () => AsyncIterable<Uint8Array>,
): Promise<ShownPreview> {
  if (!hasContent)
    return {
      unavailable: "the content is deleted by now: of mail that has left at once, of mail that failed after history.failed_content",
    };
  try {
    return await previewOf(content);
  } catch (error) {
    return { unavailable: describeError(error) };
  }
}

/** One look at the first octets of a message. */
interface Look {
  /** Octets of the rows that were read; what is beyond the most to look at is not handed over. */
  readonly octets: number;
  readonly headers: readonly PreviewField[];
  /** Absent where the thread did not come to its end. */
  readonly text: Extract<Found, { say: "text" }> | undefined;
  /** The first ones. */
  readonly attachments: readonly PreviewAttachment[];
  readonly attachmentsInAll: number;
  readonly cut: readonly string[];
}

/**
 * Looks at a message.
 *
 * @param content - the stored rows from the beginning, each time it is called
 * @throws what reading the first row throws; damage after it is named in `cut`
 */
export async function previewOf(content: () => AsyncIterable<Uint8Array>, limits = PREVIEW_LIMITS): Promise<Preview> {
  const [all = 0, ...smaller] = limits.octets;
  const first = await look(content, all, limits);
  const cut = new Set(first.cut);
  let { text } = first;
  let most = first;
  for (const octets of smaller) {
    if (text !== undefined || octets >= first.octets) continue;
    // What was there a moment ago may have been delivered, and deleted with that.
    const next = await look(content, octets, limits).catch(() => undefined);
    if (next === undefined) break;
    if (next.attachmentsInAll > most.attachmentsInAll) most = next;
    if (!isText(next.text)) continue;
    text = next.text;
    cut.add(`its text is that of its first ${sizeInWords(octets)}`);
  }
  const { attachments, attachmentsInAll } = most;
  if (attachmentsInAll > attachments.length) cut.add(`${attachmentsInAll - attachments.length} more attachments are not listed`);
  if (text === undefined) cut.add("its text was not reached");
  if (text?.isCut === true) cut.add(`only the first ${limits.textCharacters} characters of its text are shown`);
  return {
    headers: first.headers,
    ...(text?.text === undefined ? {} : { text: text.text }),
    ...(text?.htmlCharacters === undefined ? {} : { htmlCharacters: text.htmlCharacters }),
    attachments,
    cut: [...cut],
  };
}

function isText(text: Look["text"]): boolean {
  return text !== undefined && (text.text !== undefined || text.htmlCharacters !== undefined);
}

function startThread({ fields, valueCharacters, textCharacters, heapMiB }: PreviewLimits): Worker {
  const job: Job = { fields, valueCharacters, textCharacters };
  return new Worker(entryPoint("cli/preview/worker"), {
    workerData: job,
    name: "postern-preview",
    env: {},
    // Nothing that a parser says belongs on the operator's terminal.
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: heapMiB, maxYoungGenerationSizeMb: 16 },
  });
}

/** @throws what reading the first row throws */
async function look(content: () => AsyncIterable<Uint8Array>, most: number, limits: PreviewLimits): Promise<Look> {
  const rows = content()[Symbol.asyncIterator]();
  let next = await rows.next();
  const over = Promise.withResolvers<void>();
  const cut = new Set<string>();
  const attachments: PreviewAttachment[] = [];
  let octets = 0;
  let headers: readonly PreviewField[] = [];
  let text: Look["text"];
  let attachmentsInAll = 0;
  const worker = startThread(limits);

  const feed = async (): Promise<void> => {
    const { done, value } = next;
    if (done === true || octets >= most) {
      const isWhole = done === true && octets <= most;
      if (!isWhole && most === limits.octets[0]) cut.add(`only its first ${sizeInWords(most)} are looked at`);
      worker.postMessage({ say: "end", isWhole } satisfies Heard);
      return;
    }
    const row = new Uint8Array(value.subarray(0, most - octets));
    octets += value.byteLength;
    worker.postMessage({ say: "octets", octets: row } satisfies Heard, [row.buffer]);
    try {
      next = await rows.next();
    } catch (error) {
      cut.add(`what is stored of it is damaged: ${describeError(error)}`);
      next = { done: true, value: undefined };
    }
  };
  const hear = (found: Found): void => {
    switch (found.say) {
      case "more":
        feed().catch(over.reject);
        return;
      case "header":
        headers = found.headers;
        for (const what of found.cut) cut.add(what);
        return;
      case "attachment":
        attachmentsInAll++;
        if (attachments.length < limits.attachments) attachments.push(found.attachment);
        return;
      case "text":
        text = found;
        return;
      case "fault":
        cut.add(found.cut);
        over.resolve();
        return;
      case "done":
        over.resolve();
        return;
      default:
        throw new Error(`the thread cannot say ${String(found satisfies never)}`);
    }
  };
  worker.on("message", hear);
  worker.on("error", (error: NodeJS.ErrnoException) => {
    const tooMuch = error.code === "ERR_WORKER_OUT_OF_MEMORY";
    cut.add(
      tooMuch ? `to look at all of it takes more than ${limits.heapMiB} MiB of memory` : `it cannot be parsed: ${describeError(error)}`,
    );
    over.resolve();
  });
  worker.on("exit", () => over.resolve());
  const timer = setTimeout(() => {
    cut.add(`to look at all of it takes longer than ${limits.milliseconds / 1000} s`);
    over.resolve();
  }, limits.milliseconds);
  try {
    await over.promise;
  } finally {
    clearTimeout(timer);
    await worker.terminate();
    await rows.return?.();
  }
  return { octets, headers, text, attachments, attachmentsInAll, cut: [...cut] };
}

function sizeInWords(octets: number): string {
  return octets >= 1024 * 1024 ? `${octets / 1024 / 1024} MiB` : `${Math.round(octets / 1024)} KiB`;
}
