/** One reply as a value: the code, the enhanced status code and the text travel together and cannot disagree. */

/** A reply of a server, ours or the next hop's. RFC 5321 §4.2, RFC 3463. */
export interface Reply {
  /** Three-digit code, 200 to 599. */
  readonly code: number;
  /** Enhanced status code such as `5.7.1`; absent where the server sent none. */
  readonly enhanced?: string | undefined;
  /** The text of all lines without code and enhanced code, lines joined by a line feed. */
  readonly text: string;
  /** Present where the code is an HTTP status (Graph); absent: SMTP. */
  readonly protocol?: "http" | undefined;
}

const REPLY_LINE = /^(\d{3})[ -]?(.*)$/;
const ENHANCED = /^([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)\s*/;

/**
 * Reads a reply from its wire form, one or several lines with or without CR.
 *
 * A line that does not start with a code is kept as text. The enhanced code is the one of the first line that has one whose
 * class agrees with the code (RFC 2034 §4 demands agreement; Microsoft breaks this in a few texts, which then keep it in the text).
 *
 * @returns undefined when no line starts with a three-digit code
 */
export function parseReply(wire: string): Reply | undefined {
  let code: number | undefined;
  let enhanced: string | undefined;
  const texts: string[] = [];
  for (const line of wire.split(/\r?\n/)) {
    if (line === "" && texts.length > 0) continue;
    const match = REPLY_LINE.exec(line);
    if (match === null) {
      if (code !== undefined) texts.push(line);
      continue;
    }
    code ??= Number(match[1]);
    let text = match[2] ?? "";
    const status = ENHANCED.exec(text);
    if (status !== null && status[1] === String(code)[0]) {
      enhanced ??= `${status[1]}.${status[2]}.${status[3]}`;
      text = text.slice(status[0].length);
    }
    texts.push(text);
  }
  return code === undefined ? undefined : { code, enhanced, text: texts.join("\n") };
}

/** The reply on one line, as logs, reports and the CLI show it: `550 5.1.1 No such user`. */
export function formatReply(reply: Reply): string {
  const text = reply.text.replace(/\s*\n\s*/g, " ");
  return [String(reply.code), reply.enhanced, text].filter((part) => part !== undefined && part !== "").join(" ");
}
