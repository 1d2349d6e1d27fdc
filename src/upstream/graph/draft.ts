/**
 * Sends a planned draft: it is made, its files are added, it is sent; and deleted again when anything before the sending fails, so that no
 * half message stays in Drafts.
 */
import type { MessageContent } from "../../mime/header-block.ts";
import { PlaceReader } from "../../mime/parts.ts";
import { faultAt } from "../smtp/fault.ts";
import type { Refusal } from "../upstream.ts";
import { jsonOf, refusalOf, replyOf } from "./answers.ts";
import { decoded } from "./draft-message.ts";
import type { DraftFile, DraftPlan } from "./draft-message.ts";
import type { GraphExchange, GraphRequest } from "./http.ts";
import { base64Length, base64Pieces } from "./mime-body.ts";

/** How requests are made. */
export interface DraftRequests {
  /** With a token, at Graph. */
  ask(
    request: Omit<GraphRequest, "headers">,
    contentType?: string,
  ): Promise<{ exchange?: GraphExchange | undefined; refusal?: Refusal | undefined }>;
  /** Without a token, at the address that Graph named for uploads. */
  upload(url: URL, request: Omit<GraphRequest, "path">): Promise<GraphExchange>;
  readonly now: () => number;
}

/** What came of it. */
export interface DraftSent {
  /** That of the sending, where it came to that; else that of what failed. */
  readonly exchange: GraphExchange | undefined;
  readonly refusal: Refusal | undefined;
  /** The request to send went out: the message may have left, whatever came back. */
  readonly sendingBegan: boolean;
}

/** Larger files go in slices. */
const MOST_AT_ONCE = 2_999_999;
/** Slices are multiples of 320 KiB, under 4 MB. */
const SLICE = 12 * 320 * 1024;

/** Never rejects but for what reading the content throws; the draft is gone then too. */
export async function sendDraft(requests: DraftRequests, user: string, plan: DraftPlan, content: MessageContent): Promise<DraftSent> {
  const made = await step(requests, { method: "POST", path: `${user}/messages`, body: json(plan.message) }, 201);
  const id = made.answer === undefined ? undefined : jsonOf(made.answer.body)?.["id"];
  if (typeof id !== "string") {
    const refusal = made.refusal ?? faultAt("final", "PROTOCOL", "Graph made a draft and did not name it");
    return { exchange: made.exchange, refusal: notToSend(refusal), sendingBegan: false };
  }
  const draft = `${user}/messages/${encodeURIComponent(id)}`;
  let isOver = false;
  try {
    const failed = await addFiles(requests, draft, plan.files, content);
    if (failed !== undefined) return { ...failed, refusal: notToSend(failed.refusal), sendingBegan: false };
    const sent = await step(requests, { method: "POST", path: `${draft}/send`, body: { length: 0, pieces: () => [] } }, 202);
    const status = sent.exchange?.answer?.status;
    // Sent, or nobody knows: then it is not ours to delete any more.
    isOver = sent.refusal === undefined || status === 504 || (status === undefined && sent.exchange?.sentWhole === true);
    return { exchange: sent.exchange, refusal: sent.refusal, sendingBegan: true };
  } finally {
    if (!isOver) await requests.ask({ method: "DELETE", path: draft });
  }
}

/** A 403 before the sending says what the application may do with drafts, nothing of what it may send. */
function notToSend(refusal: Refusal): Refusal {
  return refusal.reply?.code === 403 ? { ...refusal, stage: "content" } : refusal;
}

interface Step {
  readonly exchange: GraphExchange | undefined;
  readonly answer: GraphExchange["answer"];
  readonly refusal: Refusal | undefined;
}

async function step(requests: DraftRequests, request: Omit<GraphRequest, "headers">, wanted: number): Promise<Step> {
  const { exchange, refusal } = await requests.ask(request, "application/json");
  return outcome(exchange, refusal, [wanted], requests.now());
}

function outcome(exchange: GraphExchange | undefined, refusal: Refusal | undefined, wanted: readonly number[], now: number): Step {
  const answer = exchange?.answer;
  if (answer === undefined) return { exchange, answer, refusal: refusal ?? exchange?.refusal };
  if (wanted.includes(answer.status)) return { exchange, answer, refusal: undefined };
  if (answer.status >= 200 && answer.status < 300)
    return {
      exchange,
      answer,
      refusal: faultAt("final", "PROTOCOL", `Graph answered ${answer.status} to a step of a draft: ${replyOf(answer).text}`),
    };
  return { exchange, answer, refusal: refusalOf(answer, wanted[0] ?? 200, now) };
}

type Failed = { readonly exchange: GraphExchange | undefined; readonly refusal: Refusal };

async function addFiles(
  requests: DraftRequests,
  draft: string,
  files: readonly DraftFile[],
  content: MessageContent,
): Promise<Failed | undefined> {
  const reader = new PlaceReader(content);
  try {
    for (const file of files) {
      const { refusal, exchange } =
        file.sizeBytes <= MOST_AT_ONCE ? await attach(requests, draft, file, reader) : await uploadFile(requests, draft, file, reader);
      if (refusal !== undefined) return { exchange, refusal };
    }
    return undefined;
  } finally {
    await reader.close();
  }
}

async function attach(requests: DraftRequests, draft: string, file: DraftFile, reader: PlaceReader): Promise<Step> {
  const octets = Buffer.allocUnsafe(file.sizeBytes);
  let length = 0;
  for await (const piece of decoded(file.part, reader) ?? []) length += piece.copy(octets, length);
  const about = JSON.stringify({
    "@odata.type": "#microsoft.graph.fileAttachment",
    name: file.name,
    contentType: file.contentType,
    isInline: file.isInline,
    ...(file.contentId === undefined ? {} : { contentId: file.contentId }),
    contentBytes: "",
  });
  const head = Buffer.from(about.slice(0, -2));
  const tail = Buffer.from('"}');
  const body = {
    length: head.length + base64Length(length) + tail.length,
    *pieces() {
      yield head;
      yield* base64Pieces(octets.subarray(0, length));
      yield tail;
    },
  };
  return await step(requests, { method: "POST", path: `${draft}/attachments`, body }, 201);
}

async function uploadFile(requests: DraftRequests, draft: string, file: DraftFile, reader: PlaceReader): Promise<Step> {
  const item = {
    attachmentType: "file",
    name: file.name,
    size: file.sizeBytes,
    contentType: file.contentType,
    isInline: file.isInline,
    contentId: file.contentId,
  };
  const opened = await step(
    requests,
    { method: "POST", path: `${draft}/attachments/createUploadSession`, body: json({ AttachmentItem: item }) },
    201,
  );
  if (opened.refusal !== undefined) return opened;
  const address = opened.answer === undefined ? undefined : jsonOf(opened.answer.body)?.["uploadUrl"];
  const url = typeof address === "string" ? URL.parse(address) : null;
  if (url?.protocol !== "https:")
    return { ...opened, refusal: faultAt("final", "PROTOCOL", "Graph opened an upload session and named no https address for it") };
  let at = 0;
  let last = opened;
  for await (const slice of slices(decoded(file.part, reader))) {
    const isLast = at + slice.length >= file.sizeBytes;
    const exchange = await requests.upload(url, {
      method: "PUT",
      headers: { "content-type": "application/octet-stream", "content-range": `bytes ${at}-${at + slice.length - 1}/${file.sizeBytes}` },
      body: { length: slice.length, pieces: () => [slice] },
    });
    last = outcome(exchange, undefined, isLast ? [201, 200] : [200, 202], requests.now());
    if (last.refusal !== undefined) return last;
    at += slice.length;
  }
  return at === file.sizeBytes
    ? last
    : { ...last, refusal: faultAt("content", "CONTENT", `${file.name} changed its size while it was read`) };
}

/** Pieces gathered into slices; each is valid until the next one is asked for. */
async function* slices(pieces: AsyncIterable<Buffer> | undefined): AsyncGenerator<Buffer> {
  const slice = Buffer.allocUnsafe(SLICE);
  let length = 0;
  for await (const piece of pieces ?? []) {
    let from = 0;
    while (from < piece.length) {
      const copied = piece.copy(slice, length, from);
      from += copied;
      length += copied;
      if (length < SLICE) continue;
      yield slice;
      length = 0;
    }
  }
  if (length > 0) yield slice.subarray(0, length);
}

function json(value: object): NonNullable<GraphRequest["body"]> {
  const octets = Buffer.from(JSON.stringify(value));
  return { length: octets.length, pieces: () => [octets] };
}
