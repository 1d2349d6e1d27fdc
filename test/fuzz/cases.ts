/** What a fuzzed client says: dialogue files, mutated, and noise made of the words of SMTP. The same for the same seed and number. */
import { Random } from "../crash/random.ts";
import { readRows } from "../dialogues/dialogue.ts";

export type ClientName = "floor" | "app" | "unlisted" | "balancer" | "user" | "guest";

/**
 * How a client comes: by itself, through a balancer that names it in a PROXY header of version 1 or 2, inside TLS, as a balancer whose header, which names a
 * stranger, got damaged on the way (`broken`), or to a listener where nothing is taken before somebody signed in.
 */
export type Way = "plain" | "balanced-1" | "balanced-2" | "secured" | "broken" | "sign-in";

export interface FuzzCase {
  readonly client: ClientName;
  readonly way: Way;
  /** Written one after the other, each when the relay had its turn with the one before. */
  readonly segments: readonly Buffer[];
  readonly end: "close" | "reset" | "half-close";
}

const DIALOGUES: readonly [Buffer, ...Buffer[]] = (() => {
  const all = readRows().flatMap(({ dialogues }) =>
    dialogues.map(({ steps }) => Buffer.concat(steps.flatMap((step) => (step.kind === "send" ? [step.octets] : [])))),
  );
  const [first = Buffer.from("QUIT\r\n"), ...others] = all.filter(({ length }) => length < 20_000);
  return [first, ...others];
})();

// 127.0.9.250 may send, and no case comes from it: what a balancer's header makes of it is nobody's mail here.
const WORDS = [
  "\r\n", "\n", "\r", "\r\n.\r\n", "\n.\n", "\n.\r\n", "\r.\r\n", ".\r\n", "..\r\n", "\0", "\r\n\r\n", " ", "\t", ":", "<", ">", "@", '"', "\\", "(", ")", "%", "!",
  "EHLO x\r\n", "HELO\r\n", "MAIL FROM:<a@contoso.com>\r\n", "MAIL FROM:<>\r\n", "MAIL FROM:<x@example.net>\r\n", "RCPT TO:<anna@contoso.com>\r\n",
  "RCPT TO:<v@example.net>\r\n", "RCPT TO:<v%example.net@contoso.com>\r\n", "DATA\r\n", "data\n", "RSET\r\n", "NOOP\r\n", "QUIT\r\n", "VRFY x\r\n", "STARTTLS\r\n",
  "AUTH LOGIN\r\n", "AUTH PLAIN AGEAYg==\r\n", "*\r\n", "BDAT 10 LAST\r\n", "XCLIENT ADDR=127.0.9.1\r\n", "PROXY TCP4 127.0.9.250 1.1.1.1 1 25\r\n", "GET / HTTP/1.1\r\n",
  "From: a@contoso.com\r\n", "From: evil@example.net\r\n", "Bcc: x\r\n", "Subject: x\r\n", " folded\r\n", "DKIM-Signature: x\r\n", "Received: x\r\n", "\u0016\u0003\u0001",
  " SIZE=99999999999999", " BODY=8BITMIME", " SMTPUTF8", " AUTH=<>", "\u00ff\u00fe", "\u00c3\u00bc", "=?utf-8?q?x?=", "__proto__: 1\r\n",
] as const; // prettier-ignore

export function fuzzCase(seed: number, number: number): FuzzCase {
  const random = new Random(seed * 1_000_003 + number);
  let octets = random.chance(0.7) ? random.pick(DIALOGUES) : noise(random);
  for (let times = random.between(0, 6); times > 0; times -= 1) octets = mutated(octets, random);
  if (random.chance(0.02)) octets = Buffer.concat([octets, Buffer.alloc(random.between(1, 300_000), random.pick(WORDS), "latin1")]);
  const way: Way = random.chance(0.7) ? "plain" : random.pick(["balanced-1", "balanced-2", "secured", "broken", "sign-in"]);
  const client = clientOf(way, random);
  if (client === "balancer") {
    let header = proxyHeader(random.pick([1, 2]), STRANGER);
    for (let times = random.between(1, 4); times > 0; times -= 1) header = mutated(header, random);
    octets = Buffer.concat([header, octets]);
  } else if (client === "user") octets = Buffer.concat([Buffer.from(random.pick(SIGN_IN), "latin1"), octets]);
  return { client, way, segments: cut(octets, random), end: random.pick(["close", "reset", "half-close", "half-close"]) };
}

function clientOf(way: Way, random: Random): ClientName {
  if (way === "broken") return "balancer";
  if (way === "sign-in") return random.chance(0.7) ? "user" : "guest";
  return random.chance(0.6) ? "floor" : random.chance(0.8) ? "app" : "unlisted";
}

export const USER = { name: "sap", password: "fuzzed-and-right" };
const base64 = (text: string): string => Buffer.from(text).toString("base64");
/** What the user says first; a guest knows nothing of it. */
const SIGN_IN = [
  `EHLO x\r\nAUTH PLAIN ${base64(`\0${USER.name}\0${USER.password}`)}\r\n`,
  `AUTH LOGIN\r\n${base64(USER.name)}\r\n${base64(USER.password)}\r\n`,
] as const;

/** In no network that a few changed octets lead to. */
const STRANGER = "203.0.113.77";

/** What a balancer says of a device (haproxy.org, proxy-protocol.txt). */
export function proxyHeader(version: 1 | 2, device: string): Buffer {
  if (version === 1) return Buffer.from(`PROXY TCP4 ${device} 198.51.100.1 40000 25\r\n`, "latin1");
  const addresses = Buffer.from([...device.split(".").map(Number), 198, 51, 100, 1, 0x9c, 0x40, 0, 25]);
  return Buffer.concat([Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1"), Buffer.from([0x21, 0x11, 0, addresses.length]), addresses]);
}

function noise(random: Random): Buffer {
  return Buffer.from(Array.from({ length: random.between(1, 60) }, () => random.pick(WORDS)).join(""), "latin1");
}

function mutated(octets: Buffer, random: Random): Buffer {
  const at = random.between(0, octets.length);
  const to = Math.min(octets.length, at + random.between(0, random.chance(0.8) ? 8 : 200));
  const [head, middle, tail] = [octets.subarray(0, at), octets.subarray(at, to), octets.subarray(to)];
  const other = random.pick(DIALOGUES);
  switch (random.between(0, 6)) {
    case 0:
      return Buffer.concat([head, tail]);
    case 1:
      return Buffer.concat([head, middle, middle, tail]);
    case 2:
      return Buffer.concat([head, Buffer.from(random.pick(WORDS), "latin1"), middle, tail]);
    case 3:
      return Buffer.concat([head, Buffer.from(random.pick(WORDS), "latin1"), tail]);
    case 4:
      return Buffer.concat([head, other.subarray(random.between(0, other.length))]);
    case 5:
      return Buffer.concat([head, Buffer.from([random.between(0, 255)]), octets.subarray(Math.min(octets.length, at + 1))]);
    default:
      return Buffer.concat([octets, other]);
  }
}

function cut(octets: Buffer, random: Random): Buffer[] {
  const places = Array.from({ length: random.chance(0.5) ? 0 : random.between(1, 6) }, () => random.between(0, octets.length)).toSorted(
    (a, b) => a - b,
  );
  return [0, ...places].map((from, at) => octets.subarray(from, places[at] ?? octets.length)).filter(({ length }) => length > 0);
}
