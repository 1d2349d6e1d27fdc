/** Takes the transfer encoding off a part's octets as they stream by (RFC 2045 §6). */

/** Octets in, decoded octets out; memory for a few characters only. */
export interface TransferDecoder {
  push(octets: Uint8Array): Buffer;
  /** What is left at the end. */
  end(): Buffer;
}

/** @returns undefined for an encoding that is none */
export function transferDecoder(encoding: string): TransferDecoder | undefined {
  switch (encoding.trim().toLowerCase()) {
    case "":
    case "7bit":
    case "8bit":
    case "binary":
      return { push: (octets) => Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength), end: () => Buffer.alloc(0) };
    case "base64":
      return base64Decoder();
    case "quoted-printable":
      return quotedPrintableDecoder();
    default:
      return undefined;
  }
}

function base64Decoder(): TransferDecoder {
  let rest = "";
  let isOver = false;
  return {
    push(octets) {
      if (isOver) return Buffer.alloc(0);
      let text = latin1(octets);
      const pad = text.indexOf("=");
      if (pad >= 0) {
        isOver = true;
        text = text.slice(0, pad);
      }
      const characters = rest + text.replace(/[^A-Za-z0-9+/]+/g, "");
      const whole = isOver ? characters.length : characters.length - (characters.length % 4);
      rest = characters.slice(whole);
      return Buffer.from(characters.slice(0, whole), "base64");
    },
    end: () => Buffer.from(rest, "base64"),
  };
}

function quotedPrintableDecoder(): TransferDecoder {
  let rest = "";
  const decode = (text: string): Buffer =>
    Buffer.from(
      text
        // Not from within a run of blanks: each would be followed to its end, and long runs take minutes.
        .replace(/(?<![ \t])[ \t]+(?=\r\n)/g, "")
        .replace(/=[ \t]*\r\n/g, "")
        .replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
      "latin1",
    );
  return {
    push(octets) {
      const text = rest + latin1(octets);
      // Blanks before a line end go, and an escape may go on in the next block: whole lines only.
      const end = text.lastIndexOf("\n") + 1;
      rest = text.slice(end);
      if (rest.length <= MOST_LINE) return decode(text.slice(0, end));
      const cut = rest.length - 3;
      const line = rest.slice(0, cut);
      rest = rest.slice(cut);
      return decode(text.slice(0, end) + line);
    },
    end: () => decode(rest),
  };
}

/** A line that goes on for longer is decoded as it comes. */
const MOST_LINE = 64 * 1024;

function latin1(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString("latin1");
}
