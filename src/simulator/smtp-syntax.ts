/** The grammar of what a client says to an SMTP host: names, paths, parameters. Strict, as Exchange Online is. */

/** What EHLO may name: a plain domain name or an address literal. */
export const HELO_NAME = /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Za-z:.]+\])$/;
export const MAIL_PARAMETER = /^(?:SIZE=\d{1,20}|BODY=(?:7BIT|8BITMIME|BINARYMIME)|RET=(?:FULL|HDRS)|ENVID=\S{1,100}|AUTH=\S+|SMTPUTF8)$/i;
export const RCPT_PARAMETER = /^(?:NOTIFY=[A-Z,]+|ORCPT=\S+)$/i;
/** Commands that must be the last of a group (RFC 2920 section 3.1). */
export const ENDS_A_GROUP: ReadonlySet<string> = new Set(["EHLO", "HELO", "STARTTLS", "AUTH", "DATA", "NOOP", "VRFY", "QUIT"]);

/** Reads `FROM:<address> PARAMETERS`, strictly: no space after the colon, angle brackets always. */
export function parsePath(keyword: "FROM" | "TO", rest: string): { address: string; parameters: string[] } | undefined {
  const prefix = `${keyword}:<`;
  if (rest.slice(0, prefix.length).toUpperCase() !== prefix) return undefined;
  const match = /^((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>(?: (.*))?$/.exec(rest.slice(prefix.length));
  if (match === null) return undefined;
  return { address: match[1] ?? "", parameters: (match[2] ?? "").split(" ").filter((parameter) => parameter !== "") };
}

/** local@domain without control characters; non-ASCII only with SMTPUTF8 (RFC 6531). */
export function isAddress(address: string, utf8: boolean): boolean {
  if (address.length > 320 || !/^(?:"[^"\p{Cc}]+"|[^\s\p{Cc}"@]+)@[^\s\p{Cc}@]+$/u.test(address)) return false;
  return utf8 || /^[\x21-\x7e ]*$/.test(address);
}

/** The domain of an address in lower case; empty for the null reverse-path. */
export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf("@") + 1).toLowerCase();
}
