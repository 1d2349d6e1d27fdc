/** The part of mailparser 3 that the preview uses; the package brings no types of its own. */
declare module "mailparser" {
  import type { Readable, Writable } from "node:stream";

  export interface MailParserOptions {
    readonly skipHtmlToText: true;
    readonly skipTextToHtml: true;
    readonly skipImageLinks: true;
    readonly skipTextLinks: true;
  }
  /** Comes when its part begins; the parser goes on with the next part after `release`. */
  export interface StreamedAttachment {
    readonly type: "attachment";
    readonly filename?: string;
    readonly contentType?: string | false;
    readonly content: Readable;
    release(): void;
  }
  /** Comes once, at the end. */
  export interface StreamedText {
    readonly type: "text";
    readonly text?: string;
    readonly html?: string;
  }
  export interface MailParser extends Writable {
    on(event: "data", listener: (piece: StreamedAttachment | StreamedText) => void): this;
    on(event: "end" | "drain", listener: () => void): this;
    on(event: "error", listener: (error: Error) => void): this;
  }
  export const MailParser: new (options: MailParserOptions) => MailParser;
}
