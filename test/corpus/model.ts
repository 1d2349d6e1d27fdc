/**
 * What must become of a message, by a naive model: whole strings and regular expressions, nothing of the product's code. It knows the rules of
 * intake as the documentation has them.
 */

export interface Expected {
  /** Fields that are added, in order, as patterns. */
  readonly added: readonly RegExp[];
  /** Everything behind the added fields, octet for octet (Latin-1). */
  readonly rest: string;
  readonly repairs: readonly string[];
  /** Some line is too long for SMTP: it is broken on the way out. */
  readonly longLines: boolean;
}

const FIELD = /^[!-9;-~]+[ \t]*:/;

/** @param content - as the device has it, dots not stuffed */
export function expectedOf(content: Buffer): Expected {
  // What ends DATA begins with a line end, which belongs to the content.
  const given = content.toString("latin1");
  const text = given === "" || given.endsWith("\r\n") ? given : `${given}\r\n`;
  const repairs = new Set<string>();
  if (/(^|[^\r])\n/.test(text)) repairs.add("bare-lf");
  if (/\r\r+\n/.test(text)) repairs.add("extra-cr");
  if (/\r(?!\r{0,15}\n)/.test(text)) repairs.add("lone-cr");
  if (text.includes("\0")) repairs.add("nul-replaced");

  // Of a run of CRs the last 16 belong to the line end.
  const lines = text.split(/\r{0,16}\n/).slice(0, -1);
  while (/^>?From /.test(lines[0] ?? "")) {
    lines.shift();
    repairs.add("uucp-line-removed");
  }
  const fields: string[] = [];
  let body: string[] = [];
  for (const [at, line] of lines.entries()) {
    if (line === "") {
      body = lines.slice(at + 1);
      break;
    }
    if (FIELD.test(line)) fields.push(`${inHeader(line)}\r\n`);
    else if (/^[ \t]/.test(line) && fields.length > 0) fields.push(`${fields.pop()}${inHeader(line)}\r\n`);
    else {
      repairs.add(fields.length === 0 ? "header-missing" : "header-unterminated");
      body = [inHeader(line), ...lines.slice(at + 1)];
      break;
    }
  }
  const { kept, added } = edited(fields, repairs);
  const rest = `${kept.join("")}\r\n${body.map((line) => `${inBody(line)}\r\n`).join("")}`;
  return { added, rest, repairs: [...repairs], longLines: rest.split("\r\n").some((line) => line.length > 998) };
}

function edited(fields: readonly string[], repairs: Set<string>): { kept: string[]; added: RegExp[] } {
  const nameOf = (field: string): string => field.slice(0, field.indexOf(":")).trim().toLowerCase();
  const valueOf = (field: string): string =>
    field
      .slice(field.indexOf(":") + 1)
      .replaceAll("\r\n", "")
      .trim();
  const signed = fields.some(
    (field) =>
      nameOf(field) === "dkim-signature" ||
      (nameOf(field) === "content-type" && /^(multipart\/signed|application\/(x-)?pkcs7-mime)/i.test(valueOf(field))),
  );
  let froms = 0;
  const kept = fields.filter((field) => {
    const name = nameOf(field);
    if (["bcc", "resent-bcc", "return-path"].includes(name) || (name === "content-length" && !signed)) repairs.add(`${name}-removed`);
    else if (/^x-ms-exchange-(organization|crosspremises|crosstenant)-/.test(name)) repairs.add("exchange-header-removed");
    else if (name === "message-id" && valueOf(field) === "") repairs.add("message-id-empty");
    else if (name === "from" && (froms += 1) > 1 && !signed) repairs.add("from-reduced");
    else return true;
    return false;
  });
  const has = (name: string): boolean => kept.some((field) => nameOf(field) === name);
  const added: RegExp[] = [];
  if (!has("from")) {
    repairs.add("from-added");
    added.push(/^From: scanner@contoso\.com\r\n/);
  }
  if (!has("date")) {
    repairs.add("date-added");
    added.push(/^Date: \w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n/);
  }
  if (!has("message-id")) {
    repairs.add("message-id-added");
    added.push(/^Message-ID: <[0-9A-Z]{26}@relay\.contoso\.com>\r\n/);
  }
  return { kept, added };
}

function inHeader(line: string): string {
  return line.replaceAll("\r", " ").replaceAll("\0", " ");
}

function inBody(line: string): string {
  return line.replaceAll("\r", "\r\n").replaceAll("\0", " ");
}

/** What of a message stays when lines are broken: everything but line ends, blanks and the marks of soft line ends. */
export function essence(text: string): string {
  return text.replace(/=\r\n(?! )/g, "").replace(/\s+/g, "");
}
