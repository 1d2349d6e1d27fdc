/**
 * Command repair: from the line a device sent to the command it meant. Pure; the table in repair.test.ts is its specification.
 *
 * Each repair has one word (a quirk), so that the log can say which device does what. What cannot be repaired without guessing
 * (no address, more than one) is a fault; this module never decides who may send to whom.
 */
import { isIPv6 } from "node:net";
import { canonicalDomain } from "../mail/address.ts";

/** What was odd about a line. One word each, as `session.repaired` reports it. */
export type Quirk =
  | "blank-line"
  | "command-spacing"
  | "helo-without-name"
  | "helo-odd-name"
  | "missing-colon"
  | "space-after-colon"
  | "missing-brackets"
  | "extra-brackets"
  | "text-around-address"
  | "quotes-around-address"
  | "comment-in-address"
  | "trailing-dot"
  | "trailing-separator"
  | "source-route"
  | "domain-case"
  | "address-without-domain"
  | "empty-sender"
  | "unknown-parameter";

/** Why a line is refused. */
export type CommandFault = "unknown" | "syntax" | "no-address" | "several-addresses" | "bad-domain";

/** MAIL and RCPT parameters, keywords in upper case; a keyword alone has an empty value. */
export type Parameters = ReadonlyMap<string, string>;

/** A command as it goes on. `path` is an address in canonical form, or a local part alone; the empty string is `<>`. */
export type Command =
  | { readonly verb: "EHLO" | "HELO"; readonly name: string; readonly quirks: readonly Quirk[] }
  /** `path` is undefined when the device named no sender at all, not even `<>`. */
  | { readonly verb: "MAIL"; readonly path: string | undefined; readonly parameters: Parameters; readonly quirks: readonly Quirk[] }
  | { readonly verb: "RCPT"; readonly path: string; readonly parameters: Parameters; readonly quirks: readonly Quirk[] }
  | { readonly verb: "AUTH"; readonly mechanism: string; readonly initial: string | undefined; readonly quirks: readonly Quirk[] }
  | PlainCommand
  /** `verb` is what the line seems to be, empty when it is no command at all. */
  | {
      readonly verb: "fault";
      readonly of: "MAIL" | "RCPT" | "STARTTLS" | "";
      readonly fault: CommandFault;
      readonly quirks: readonly Quirk[];
    };

/** Commands whose argument does not matter. */
export type PlainCommand = {
  readonly [V in "DATA" | "RSET" | "NOOP" | "QUIT" | "VRFY" | "EXPN" | "HELP" | "STARTTLS" | "BDAT"]: {
    readonly verb: V;
    readonly quirks: readonly Quirk[];
  };
}["DATA" | "RSET" | "NOOP" | "QUIT" | "VRFY" | "EXPN" | "HELP" | "STARTTLS" | "BDAT"];

const NONE: readonly Quirk[] = [];
const NO_PARAMETERS: Parameters = new Map();
const PLAIN_VERBS = ["DATA", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "BDAT"] as const;
type PlainVerb = (typeof PLAIN_VERBS)[number];
const KNOWN_PARAMETERS = new Set(["SIZE", "BODY", "SMTPUTF8", "AUTH", "RET", "ENVID", "NOTIFY", "ORCPT"]);

/** The form that well-behaved clients send, without looking further. */
const CANONICAL_PATH = /^(MAIL FROM|RCPT TO):<([A-Za-z0-9!#$&'*+/=?^_`{|}~.-]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)>$/;
const PATH_COMMAND = /^(MAIL\s+FROM|RCPT\s+TO)\s*(:?)(\s*)(.*)$/is;
const CONTROL = /[\u0000-\u001f\u007f]/;

/** Longest address taken; RFC 5321 §4.5.3.1.3 has 256 with brackets, devices with long generated local parts exist. */
const LONGEST_ADDRESS = 320;

/**
 * Finds the command in a line.
 *
 * @param line - without its line end; decoded as UTF-8 where it is that, else as Latin-1
 */
export function repairCommand(line: string): Command {
  const direct = CANONICAL_PATH.exec(line);
  const directPath = direct?.[2];
  if (directPath !== undefined && isDomain(directPath.slice(directPath.indexOf("@") + 1))) {
    return { verb: line.startsWith("M") ? "MAIL" : "RCPT", path: directPath, parameters: NO_PARAMETERS, quirks: NONE };
  }
  const text = line.trim();
  if (text === "") return { verb: "NOOP", quirks: ["blank-line"] };
  const space = text.search(/\s/);
  const verb = (space < 0 ? text : text.slice(0, space)).toUpperCase();
  const rest = space < 0 ? "" : text.slice(space + 1).trim();
  const quirks: Quirk[] = [];
  if (/^\s/.test(line)) quirks.push("command-spacing");
  if (verb === "HELO" || verb === "EHLO") return greeting(verb, rest, quirks);
  if (verb.startsWith("MAIL") || verb.startsWith("RCPT")) return pathCommand(text, quirks);
  if (verb === "AUTH") {
    const [mechanism = "", initial] = rest.split(/\s+/);
    return mechanism === ""
      ? { verb: "fault", of: "", fault: "syntax", quirks }
      : { verb, mechanism: mechanism.toUpperCase(), initial, quirks };
  }
  if (verb === "STARTTLS") return rest === "" ? { verb, quirks } : { verb: "fault", of: "STARTTLS", fault: "syntax", quirks };
  if (isPlainVerb(verb)) return { verb, quirks };
  return { verb: "fault", of: "", fault: "unknown", quirks };
}

function isPlainVerb(verb: string): verb is PlainVerb {
  return (PLAIN_VERBS as readonly string[]).includes(verb);
}

/** A command in the form a well-behaved client sends. Repairing that finds the same command and nothing to repair. */
export function formatCommand(command: Command): string {
  switch (command.verb) {
    case "EHLO":
    case "HELO":
      return `${command.verb} ${command.name}`.trimEnd();
    case "MAIL":
    case "RCPT": {
      const parameters = [...command.parameters].map(([key, value]) => (value === "" ? ` ${key}` : ` ${key}=${value}`));
      const path = command.path === undefined ? "" : `<${command.path}>`;
      return `${command.verb === "MAIL" ? "MAIL FROM" : "RCPT TO"}:${path}${parameters.join("")}`;
    }
    case "AUTH":
      return ["AUTH", command.mechanism, command.initial].filter((part) => part !== undefined).join(" ");
    case "fault":
      return "";
    default:
      return command.verb;
  }
}

function greeting(verb: "HELO" | "EHLO", name: string, quirks: Quirk[]): Command {
  if (name === "") quirks.push("helo-without-name");
  else if (!/^(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[^\]\s]+\])$/.test(name)) quirks.push("helo-odd-name");
  return { verb, name, quirks };
}

function pathCommand(text: string, quirks: Quirk[]): Command {
  const match = PATH_COMMAND.exec(text);
  const of = text.slice(0, 4).toUpperCase() === "MAIL" ? "MAIL" : "RCPT";
  const fault = (reason: CommandFault): Command => ({ verb: "fault", of, fault: reason, quirks });
  if (match === null) return /^(?:MAIL|RCPT)(?:\s|$)/i.test(text) ? fault("syntax") : { verb: "fault", of: "", fault: "unknown", quirks };
  const [, , colon = "", gap = "", argument = ""] = match;
  if (colon === "") quirks.push("missing-colon");
  else if (gap !== "") quirks.push("space-after-colon");
  if (CONTROL.test(argument)) return fault("no-address");
  if (argument.trim() === "") {
    if (of === "RCPT" || colon === "") return fault("no-address");
    return { verb: of, path: undefined, parameters: NO_PARAMETERS, quirks: [...quirks, "empty-sender"] };
  }
  const found = findAddress(argument, quirks);
  if (typeof found === "string") return fault(found);
  const path = cleanAddress(found.address, quirks);
  if (path === undefined) return fault("no-address");
  if (path === "several") return fault("several-addresses");
  if (path.address === "" && of === "RCPT") return fault("no-address");
  if (path.badDomain) return fault("bad-domain");
  const parameters = readParameters(found.after, quirks);
  if (parameters === undefined) return fault("several-addresses");
  return { verb: of, path: path.address, parameters, quirks };
}

/** Cuts the argument of MAIL or RCPT into the one address and what follows it. */
function findAddress(argument: string, quirks: Quirk[]): { address: string; after: string } | CommandFault {
  const open = outsideQuotes(argument, "<");
  // A bracket that opens a parameter's value (AUTH=<>) holds no address of ours.
  if (open >= 0 && !/(?:^|\s)[A-Za-z][A-Za-z0-9-]*=$/.test(argument.slice(0, open))) {
    if (argument.slice(0, open).trim() !== "") quirks.push("text-around-address");
    return bracketed(argument, open, quirks);
  }
  quirks.push("missing-brackets");
  const bare = withoutComments(argument, quirks);
  const tokens: string[] = bare.match(/(?:"(?:[^"\\]|\\.)*"|[^\s"])+/g) ?? [];
  const addresses = tokens.filter((token) => token.includes("@") && !/^[A-Za-z][A-Za-z0-9-]*=/.test(token));
  if (addresses.length > 1) return "several-addresses";
  const address = addresses[0] ?? tokens[0];
  if (address === undefined) return "no-address";
  const at = tokens.indexOf(address);
  if (at > 0) quirks.push("text-around-address");
  return { address, after: tokens.slice(at + 1).join(" ") };
}

/** From the first `<`: the innermost brackets hold the address, the outermost end it. */
function bracketed(argument: string, open: number, quirks: Quirk[]): { address: string; after: string } | CommandFault {
  let depth = 0;
  let inner = open;
  let innerEnd = -1;
  let quoted = false;
  let end = argument.length;
  for (let i = open; i < argument.length; i += 1) {
    const char = argument[i];
    if (quoted && char === "\\") {
      i += 1;
      continue;
    }
    if (char === '"') quoted = !quoted;
    if (quoted) continue;
    if (char === "<") {
      if (innerEnd >= 0) return "several-addresses";
      depth += 1;
      inner = i;
    } else if (char === ">") {
      if (innerEnd < 0) innerEnd = i;
      depth -= 1;
      if (depth === 0) {
        end = i;
        break;
      }
    }
  }
  if (innerEnd < 0) innerEnd = argument.length;
  if (inner !== open || depth !== 0) quirks.push("extra-brackets");
  if (inner !== open && argument.slice(open, inner).replaceAll("<", "").trim() !== "") quirks.push("text-around-address");
  let after = argument.slice(end + 1);
  const surplus = /^[>\s]*/.exec(after)?.[0] ?? "";
  if (surplus.includes(">") && !quirks.includes("extra-brackets")) quirks.push("extra-brackets");
  after = after.slice(surplus.length);
  if (/[<>@]/.test(after.replace(/(?:^|\s)[A-Za-z][A-Za-z0-9-]*=\S*/g, ""))) return "several-addresses";
  return { address: argument.slice(inner + 1, innerEnd), after };
}

/** Without the separators of a list and the blanks at the end; not by a regular expression, which would look at each run of them again and again. */
function withoutSeparators(text: string): string {
  let end = text.length;
  while (end > 0 && /[,;\s]/.test(text.charAt(end - 1))) end -= 1;
  return text.slice(0, end);
}

type Cleaned = { readonly address: string; readonly badDomain: boolean };

/** Strips what devices put around an address; undefined when none is left. */
function cleanAddress(raw: string, quirks: Quirk[]): Cleaned | "several" | undefined {
  let text = withoutComments(raw, quirks).trim();
  if (text === "") return raw.trim() === "" ? { address: "", badDomain: false } : undefined;
  if (/[,;]$/.test(text)) {
    // What is left of a list of recipients, cut where it was not to be cut.
    quirks.push("trailing-separator");
    text = withoutSeparators(text);
  }
  const unquoted = /^(['"`])(.*)\1$/.exec(text);
  if (unquoted?.[2]?.includes("@") === true && !unquoted[2].includes(unquoted[1] ?? "")) {
    quirks.push("quotes-around-address");
    text = unquoted[2].trim();
  }
  const route = /^@[^:\s]*:/.exec(text);
  if (route !== null) {
    quirks.push("source-route");
    text = text.slice(route[0].length);
  }
  if (text === "" || text.length > LONGEST_ADDRESS) return undefined;
  const at = lastAtOutsideQuotes(text);
  const local = at < 0 ? text : text.slice(0, at);
  if (/^[^"]*@[^"]*[,;\s]/.test(text) && text.indexOf("@") !== at) return "several";
  if (!isLocalPart(local)) return undefined;
  if (at < 0) {
    quirks.push("address-without-domain");
    return { address: local, badDomain: false };
  }
  let domain = text.slice(at + 1);
  if (domain === "") {
    quirks.push("address-without-domain");
    return { address: local, badDomain: false };
  }
  if (domain.endsWith(".")) {
    quirks.push("trailing-dot");
    domain = domain.replace(/\.+$/, "");
  }
  if (/[,;\s]/.test(domain) && domain.includes("@")) return "several";
  const canonical = canonicalDomain(domain);
  if (canonical !== domain) quirks.push("domain-case");
  return { address: `${local}@${canonical}`, badDomain: !isDomain(canonical) };
}

/**
 * Atoms and dots as devices write them (a trailing dot included), or one quoted string; no control character of any set, and none of Unicode's
 * line ends. RFC 5321 §4.1.2, RFC 6531 §3.3.
 */
function isLocalPart(local: string): boolean {
  if (local.length > 255) return false;
  return /^(?:[^\s\u0000-\u0020\u007f-\u00a0"(),:;<>@[\\\]]+|"(?:[^"\\\u0000-\u001f\u007f-\u009f\u2028\u2029]|\\[\u0020-\u007e])*")$/.test(
    local,
  );
}

function isDomain(domain: string): boolean {
  if (domain.startsWith("[")) return isAddressLiteral(domain);
  return domain.length <= 253 && /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/.test(domain);
}

function isAddressLiteral(domain: string): boolean {
  const match = /^\[(ipv6:)?([0-9a-f.:]+)\]$/.exec(domain);
  if (match === null) return false;
  return match[1] === undefined ? /^\d{1,3}(?:\.\d{1,3}){3}$/.test(match[2] ?? "") : isIPv6(match[2] ?? "");
}

/** Removes RFC 5322 comments outside of quoted strings; an unclosed one goes to the end. */
function withoutComments(text: string, quirks: Quirk[]): string {
  if (!text.includes("(")) return text;
  let out = "";
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i] ?? "";
    if (char === "\\" && (quoted || depth > 0)) {
      if (depth === 0) out += char + (text[i + 1] ?? "");
      i += 1;
    } else if (char === '"' && depth === 0) {
      quoted = !quoted;
      out += char;
    } else if (char === "(" && !quoted) depth += 1;
    else if (char === ")" && depth > 0) depth -= 1;
    else if (depth === 0) out += char;
  }
  if (out !== text) quirks.push("comment-in-address");
  return out;
}

function outsideQuotes(text: string, wanted: string): number {
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (char === "\\" && quoted) i += 1;
    else if (char === '"') quoted = !quoted;
    else if (char === wanted && !quoted) return i;
  }
  return -1;
}

function lastAtOutsideQuotes(text: string): number {
  let last = -1;
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (char === "\\" && quoted) i += 1;
    else if (char === '"') quoted = !quoted;
    else if (char === "@" && !quoted) last = i;
  }
  return last;
}

/** Reads `KEY` and `KEY=VALUE`; unknown ones are kept and noted. Undefined when there is another address among them. */
function readParameters(text: string, quirks: Quirk[]): Parameters | undefined {
  if (text === "") return NO_PARAMETERS;
  const parameters = new Map<string, string>();
  for (const part of text.split(/\s+/)) {
    const match = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s=][^\s]*)?)?$/.exec(part);
    const key = match?.[1]?.toUpperCase();
    if (match === null || key === undefined) {
      if (part.includes("@")) return undefined;
      const quirk: Quirk = withoutSeparators(part) === "" ? "trailing-separator" : "unknown-parameter";
      if (part !== "" && !quirks.includes(quirk)) quirks.push(quirk);
      continue;
    }
    if (!KNOWN_PARAMETERS.has(key) && !quirks.includes("unknown-parameter")) quirks.push("unknown-parameter");
    if (!parameters.has(key)) parameters.set(key, match[2] ?? "");
  }
  return parameters;
}

/**
 * A name from the network as it may appear in logs and trace lines: printable ASCII, everything else as `\xNN`, at most 255 characters.
 */
export function escapeForTrace(text: string, longest = 255): string {
  const escaped = text.replace(/[^\u0020-\u005b\u005d-\u007e]/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return code > 0xff ? `\\u{${code.toString(16)}}` : `\\x${code.toString(16).padStart(2, "0")}`;
  });
  return escaped.length > longest ? escaped.slice(0, longest) : escaped;
}
