/** Drafts and the upload sessions of their large attachments, in memory and bounded. */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";

import type { Clock } from "../platform/clock.ts";
import { GraphFault, badRequest, graphFault } from "./graph-fault.ts";
import { composeMime, readAttachment } from "./graph-message.ts";
import type { Attachment, JsonMessage } from "./graph-message.ts";
import { addressesOf, headerValues, parseHeaders } from "./headers.ts";
import { ownsAddress } from "./tenant.ts";
import type { TenantMailbox } from "./tenant.ts";

const DRAFTS_MAX = 1_000;
const SESSIONS_MAX = 100;
/** Octets of all drafts together. */
const BYTES_MAX = 512 * 1024 * 1024;
/** A smaller attachment goes with an ordinary POST; in decimal, because a base64 of 3 MiB would not fit into 4 MiB of request. */
const SESSION_MIN = 3_000_000;
const SESSION_MAX = 150 * 1024 * 1024;
const SESSION_LIFE_MS = 60 * 60_000;

/** A message that has not been sent. */
export class Draft {
  readonly id: string;
  readonly mailbox: string;
  readonly createdAt: number;
  readonly attachments: Attachment[] = [];
  readonly #source: JsonMessage | Buffer;

  constructor(mailbox: string, source: JsonMessage | Buffer, createdAt: number) {
    this.id = `AAMkAG${randomBytes(24).toString("base64url")}`;
    this.mailbox = mailbox;
    this.#source = source;
    this.createdAt = createdAt;
  }

  /** Octets that it keeps in memory. */
  get sizeBytes(): number {
    const own = Buffer.isBuffer(this.#source)
      ? this.#source.length
      : this.#source.attachments.reduce((sum, file) => sum + file.content.length, 0);
    return this.attachments.reduce((sum, file) => sum + file.content.length, own);
  }

  get isMime(): boolean {
    return Buffer.isBuffer(this.#source);
  }

  /** The message as it would be sent now. */
  mime(mailbox: TenantMailbox, now: number): Buffer {
    if (Buffer.isBuffer(this.#source)) return this.#source;
    return composeMime({ ...this.#source, attachments: [...this.#source.attachments, ...this.attachments] }, mailbox, now);
  }

  describe(): Record<string, unknown> {
    const at = new Date(this.createdAt).toISOString().replace(/\.\d+/, "");
    const common = {
      id: this.id,
      createdDateTime: at,
      lastModifiedDateTime: at,
      isDraft: true,
      hasAttachments: this.attachments.length > 0,
    };
    const addressee = (address: string): object => ({ emailAddress: { address } });
    if (!Buffer.isBuffer(this.#source)) {
      const { subject, internetMessageId, to, cc, bcc } = this.#source;
      const people = (entries: readonly string[]): object[] => entries.flatMap(addressesOf).map(addressee);
      return { ...common, subject, internetMessageId, toRecipients: people(to), ccRecipients: people(cc), bccRecipients: people(bcc) };
    }
    const headers = parseHeaders(this.#source.subarray(0, Math.max(0, this.#source.indexOf("\r\n\r\n"))));
    const field = (name: string): object[] => headerValues(headers, name).flatMap(addressesOf).map(addressee);
    const [subject = ""] = headerValues(headers, "Subject");
    const [internetMessageId] = headerValues(headers, "Message-ID");
    return { ...common, subject, internetMessageId, toRecipients: field("To"), ccRecipients: field("Cc"), bccRecipients: field("Bcc") };
  }
}

/** Whose app opened a session: what it uploads counts for them. */
export interface SessionOwner {
  readonly clientId: string;
  readonly mailbox: TenantMailbox;
}

/** What a session was opened for. */
interface UploadedFile extends Omit<Attachment, "content"> {
  /** Octets that were announced. */
  readonly size: number;
}

/** One attachment on its way. */
export class UploadSession {
  readonly id = randomBytes(18).toString("base64url");
  readonly token = randomBytes(24).toString("base64url");
  readonly slices: Buffer[] = [];
  received = 0;

  readonly draft: Draft;
  readonly owner: SessionOwner;
  readonly file: UploadedFile;
  readonly expiresAt: number;

  constructor(draft: Draft, owner: SessionOwner, file: UploadedFile, expiresAt: number) {
    this.draft = draft;
    this.owner = owner;
    this.file = file;
    this.expiresAt = expiresAt;
  }

  describe(): Record<string, unknown> {
    return { expirationDateTime: new Date(this.expiresAt).toISOString(), nextExpectedRanges: [String(this.received)] };
  }
}

/** The drafts of all mailboxes. */
export class GraphDrafts {
  #drafts = new Map<string, Draft>();
  #sessions = new Map<string, UploadSession>();
  #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  create(mailbox: TenantMailbox, message: JsonMessage): Draft {
    return this.#keep(new Draft(mailbox.address, message, this.#clock.now()));
  }

  createFromMime(mailbox: TenantMailbox, mime: Buffer): Draft {
    return this.#keep(new Draft(mailbox.address, mime, this.#clock.now()));
  }

  find(mailbox: TenantMailbox, id: string): Draft | undefined {
    const draft = this.#drafts.get(id);
    return draft !== undefined && ownsAddress(mailbox, draft.mailbox) ? draft : undefined;
  }

  /** @throws GraphFault 404 */
  get(mailbox: TenantMailbox, id: string): Draft {
    const draft = this.find(mailbox, id);
    if (draft === undefined) throw new GraphFault(404, "ErrorItemNotFound", "The specified object was not found in the store.");
    return draft;
  }

  /** Deletes a draft with its open sessions; false when there is none. */
  remove(mailbox: TenantMailbox, id: string): boolean {
    if (this.find(mailbox, id) === undefined) return false;
    for (const session of this.#sessions.values()) if (session.draft.id === id) this.#sessions.delete(session.id);
    return this.#drafts.delete(id);
  }

  /** Adds an attachment that came in one request; what the answer shows of it. @throws GraphFault */
  attach(draft: Draft, body: unknown): Record<string, unknown> {
    const file = readAttachment(body);
    this.#add(draft, file);
    return {
      "@odata.type": "#microsoft.graph.fileAttachment",
      id: `${draft.id}-${draft.attachments.length}`,
      name: file.name,
      contentType: file.contentType,
      size: file.content.length,
      isInline: file.isInline,
    };
  }

  /** Opens an upload session; what the answer shows of it. @throws GraphFault */
  openSession(draft: Draft, body: unknown, origin: string, owner: SessionOwner): Record<string, unknown> {
    const { AttachmentItem: item } = (body ?? {}) as Record<string, unknown>;
    const { attachmentType, name, size, contentType, isInline, contentId } = (item ?? {}) as Record<string, unknown>;
    if (attachmentType !== "file" || typeof name !== "string" || typeof size !== "number" || !Number.isSafeInteger(size))
      throw badRequest("The AttachmentItem must have attachmentType, name and size.", "ErrorInvalidRequest");
    if (size < SESSION_MIN)
      throw badRequest(
        "The attachment size should not be less than the minimum size.",
        "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
      );
    if (size > SESSION_MAX) throw new GraphFault(413, "ErrorAttachmentSizeLimitExceeded", "The size of the attachment exceeds the limit.");
    this.#forgetOld();
    if (this.#sessions.size >= SESSIONS_MAX || this.#bytes() + size > BYTES_MAX) throw graphFault("graph-mailbox-full");
    const file = {
      name,
      size,
      contentType: typeof contentType === "string" ? contentType : "application/octet-stream",
      isInline: isInline === true,
      contentId: typeof contentId === "string" ? contentId : undefined,
    };
    const session = new UploadSession(draft, owner, file, this.#clock.now() + SESSION_LIFE_MS);
    this.#sessions.set(session.id, session);
    return {
      "@odata.context": `${origin}/v1.0/$metadata#microsoft.graph.uploadSession`,
      uploadUrl: `${origin}/AttachmentSessions/${session.id}?authtoken=${session.token}`,
      ...session.describe(),
    };
  }

  /** @throws GraphFault 404 when it is unknown, over, or its token is another one */
  session(id: string, token: string): UploadSession {
    this.#forgetOld();
    const session = this.#sessions.get(id);
    if (session === undefined || session.token !== token)
      throw new GraphFault(404, "ErrorItemNotFound", "The upload session was not found or has expired.");
    return session;
  }

  closeSession(session: UploadSession): void {
    this.#sessions.delete(session.id);
  }

  /**
   * Takes the next slice.
   *
   * @returns the address of the attachment once it is complete
   * @throws GraphFault 400 or 416 when the range is not the next one
   */
  addSlice(session: UploadSession, range: string | undefined, body: Buffer, origin: string): string | undefined {
    const match = /^bytes (\d{1,10})-(\d{1,10})\/(\d{1,10})$/.exec(range ?? "");
    if (match === null) throw badRequest("The Content-Range header is missing or malformed.", "InvalidContentRange");
    const [first, last, size] = match.slice(1).map(Number) as [number, number, number];
    if (size !== session.file.size || last >= size || last - first + 1 !== body.length)
      throw badRequest("The Content-Range header does not fit the content or the size of the session.", "InvalidContentRange");
    if (first !== session.received) throw new GraphFault(416, "InvalidRange", `The range expected next starts at ${session.received}.`);
    session.slices.push(body);
    session.received += body.length;
    if (session.received < size) return undefined;
    const { name, contentType, isInline, contentId } = session.file;
    this.#sessions.delete(session.id);
    session.draft.attachments.push({ name, contentType, isInline, contentId, content: Buffer.concat(session.slices) });
    return `${origin}/v1.0/users/${session.draft.mailbox}/messages/${session.draft.id}/attachments/${session.draft.attachments.length}`;
  }

  clear(): void {
    this.#drafts.clear();
    this.#sessions.clear();
  }

  #add(draft: Draft, file: Attachment): void {
    if (draft.isMime) throw badRequest("Attachments cannot be added to a draft made of MIME here.", "ErrorInvalidRequest");
    if (this.#bytes() + file.content.length > BYTES_MAX) throw graphFault("graph-mailbox-full");
    draft.attachments.push(file);
  }

  #keep(draft: Draft): Draft {
    if (this.#drafts.size >= DRAFTS_MAX || this.#bytes() + draft.sizeBytes > BYTES_MAX) throw graphFault("graph-mailbox-full");
    this.#drafts.set(draft.id, draft);
    return draft;
  }

  /** Octets kept or promised. */
  #bytes(): number {
    const drafts = [...this.#drafts.values()].reduce((sum, draft) => sum + draft.sizeBytes, 0);
    return [...this.#sessions.values()].reduce((sum, session) => sum + session.file.size, drafts);
  }

  #forgetOld(): void {
    const now = this.#clock.now();
    for (const session of this.#sessions.values()) if (session.expiresAt <= now) this.#sessions.delete(session.id);
  }
}
