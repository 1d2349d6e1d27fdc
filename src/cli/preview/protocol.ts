/** What a preview and its thread say to each other. */

/** A field of the header, its value decoded. */
export interface PreviewField {
  readonly name: string;
  readonly value: string;
}

/** Something attached. */
export interface PreviewAttachment {
  readonly name?: string | undefined;
  readonly type: string;
  /** Without its transfer encoding. */
  readonly sizeBytes: number;
  /** False where only its beginning was looked at. */
  readonly complete: boolean;
}

/** What the thread is started with. */
export interface Job {
  readonly fields: number;
  readonly valueCharacters: number;
  readonly textCharacters: number;
}

/** Said to the thread, each in answer to its `more`. */
export type Heard =
  | { readonly say: "octets"; readonly octets: Uint8Array }
  /** `isWhole`: the message ends here; else only the look at it. */
  | { readonly say: "end"; readonly isWhole: boolean };

/** Said by the thread, as soon as it is known: what comes first is there even if the thread does not live to its end. */
export type Found =
  | { readonly say: "more" }
  | { readonly say: "header"; readonly headers: readonly PreviewField[]; readonly cut: readonly string[] }
  /** Its part is over. */
  | { readonly say: "attachment"; readonly attachment: PreviewAttachment }
  | {
      readonly say: "text";
      readonly text: string | undefined;
      readonly htmlCharacters: number | undefined;
      readonly isCut: boolean;
    }
  /** The parser refuses to go on. */
  | { readonly say: "fault"; readonly cut: string }
  | { readonly say: "done" };
