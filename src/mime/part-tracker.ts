/** Follows the headers of a message and its parts line by line, as far as needed to know how the line at hand is encoded (RFC 2045, 2046). */

const HYPHEN = 0x2d;
/** Characters of one header field that are looked at. */
const LONGEST_FIELD = 4096;
/** Multiparts inside each other that are told apart; deeper ones count as text. */
const DEEPEST = 32;

const BOUNDARY = /;\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/i;

/** Where in a message the next line stands. Give it every line in order. */
export class PartTracker {
  /** The next line belongs to a header, of the message or of a part. */
  inHeader = true;
  /** How the body at hand is encoded. */
  encoding: "base64" | "quoted-printable" | "text" = "text";
  readonly #boundaries: Buffer[] = [];
  #type = "";
  #encodingField = "";
  #field = "";

  /** @param end - without the line end */
  line(octets: Buffer, start: number, end: number): void {
    if (this.inHeader) {
      if (end === start) this.#headerEnded();
      else this.#headerLine(octets.toString("latin1", start, Math.min(end, start + LONGEST_FIELD)));
    } else if (end - start > 2 && octets[start] === HYPHEN && octets[start + 1] === HYPHEN) {
      this.#perhapsBoundary(octets.subarray(start + 2, end));
    }
  }

  #headerLine(line: string): void {
    if (line.startsWith(" ") || line.startsWith("\t")) {
      if (this.#field.length < LONGEST_FIELD) this.#field += line;
      return;
    }
    this.#fieldEnded();
    this.#field = line;
  }

  #fieldEnded(): void {
    const colon = this.#field.indexOf(":");
    if (colon > 0) {
      const name = this.#field.slice(0, colon).trim().toLowerCase();
      if (name === "content-type") this.#type = this.#field.slice(colon + 1).trim();
      else if (name === "content-transfer-encoding") {
        this.#encodingField = this.#field
          .slice(colon + 1)
          .trim()
          .toLowerCase();
      }
    }
    this.#field = "";
  }

  #headerEnded(): void {
    this.#fieldEnded();
    const boundary = /^multipart\//i.test(this.#type) ? BOUNDARY.exec(this.#type) : null;
    const name = boundary?.[1]?.replace(/\\(.)/g, "$1") ?? boundary?.[2] ?? "";
    if (name !== "" && this.#boundaries.length < DEEPEST) this.#boundaries.push(Buffer.from(name, "latin1"));
    const encoding = /^[a-z0-9-]+/.exec(this.#encodingField)?.[0];
    const encoded = encoding === "base64" || encoding === "quoted-printable";
    this.encoding = encoded && boundary === null ? encoding : "text";
    // A message inside this one begins with its own header.
    this.inHeader = !encoded && /^message\/(?:rfc822|global)\b/i.test(this.#type);
    this.#type = "";
    this.#encodingField = "";
  }

  /** @param line - what follows the two hyphens */
  #perhapsBoundary(line: Buffer): void {
    for (let depth = this.#boundaries.length - 1; depth >= 0; depth -= 1) {
      const boundary = this.#boundaries[depth];
      if (boundary === undefined || !line.subarray(0, boundary.length).equals(boundary)) continue;
      const rest = line.toString("latin1", boundary.length).trimEnd();
      if (rest !== "" && rest !== "--") continue;
      this.#boundaries.length = rest === "--" ? depth : depth + 1;
      this.inHeader = rest === "";
      this.encoding = "text";
      return;
    }
  }
}
