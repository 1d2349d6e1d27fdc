/** The part of mailparser 3 that tests use; the package brings no types of its own. */
declare module "mailparser" {
  export interface ParsedAttachment {
    readonly filename?: string;
    readonly contentType: string;
    readonly content: Buffer;
  }
  export interface ParsedMail {
    readonly headers: ReadonlyMap<string, unknown>;
    readonly headerLines: readonly { readonly key: string; readonly line: string }[];
    readonly subject?: string;
    readonly messageId?: string;
    readonly date?: Date;
    readonly text?: string;
    readonly from?: { readonly text: string };
    readonly attachments: readonly ParsedAttachment[];
  }
  export function simpleParser(source: Buffer | string): Promise<ParsedMail>;
}
