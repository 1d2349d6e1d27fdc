/** Messages and lines that cost the most, and how to send them without holding them in memory. */
import { connect } from "node:net";
import { once } from "node:events";

export interface Heavy {
  readonly what: string;
  /** What the relay must answer to the whole. */
  readonly reply: string;
  /** Sent behind DATA, with the end of data; else as commands. */
  readonly data: boolean;
  readonly octets: () => Iterable<string>;
}

function* times(count: number, of: (at: number) => string): Generator<string> {
  for (let at = 0; at < count; at += 1) yield of(at);
}

function* joined(...parts: readonly Iterable<string>[]): Generator<string> {
  for (const part of parts) yield* part;
}

const HEADER = "From: a@contoso.com\r\nSubject: x\r\n";
const KIB = "x".repeat(1024);
/** Pieces of this size go out at once. */
const block = (unit: string): string => unit.repeat(Math.ceil(65_536 / unit.length));

export const HEAVY: readonly Heavy[] = [
  {
    what: "100 MB without a line end",
    reply: "250",
    data: true,
    octets: () =>
      joined(
        [HEADER, "\r\n"],
        times(1600, () => block(KIB)),
        ["\r\n"],
      ),
  },
  {
    what: "50 MB of bare LF",
    reply: "250",
    data: true,
    octets: () =>
      joined(
        [HEADER, "\r\n"],
        times(800, () => block("\n")),
        ["\r\n"],
      ),
  },
  {
    what: "50 MB of lone CR",
    reply: "250",
    data: true,
    octets: () =>
      joined(
        [HEADER, "\r\n"],
        times(800, () => block("\r")),
        ["x\r\n"],
      ),
  },
  {
    what: "50 MB of dots between bare LF",
    reply: "250",
    data: true,
    octets: () =>
      joined(
        [HEADER, "\r\n"],
        times(800, () => block(".\n")),
        ["\r\n"],
      ),
  },
  {
    what: "50 MB of NUL",
    reply: "250",
    data: true,
    octets: () =>
      joined(
        [HEADER, "\r\n"],
        times(800, () => block("\0")),
        ["\r\n"],
      ),
  },
  {
    what: "a header of 10 MB in one field",
    reply: "552",
    data: true,
    octets: () =>
      joined(
        [HEADER, "X: "],
        times(160, () => block(KIB)),
        ["\r\n\r\nx\r\n"],
      ),
  },
  {
    what: "100,000 header fields",
    reply: "552",
    data: true,
    octets: () =>
      joined(
        [HEADER],
        times(100_000, (at) => `X-${at}: 1\r\n`),
        ["\r\nx\r\n"],
      ),
  },
  {
    what: "20,000 short header fields",
    reply: "250",
    data: true,
    octets: () =>
      joined(
        [HEADER],
        times(20_000, () => "X: 1\r\n"),
        ["\r\nx\r\n"],
      ),
  },
  {
    what: "60,000 folds in one field",
    reply: "250",
    data: true,
    octets: () =>
      joined(
        [HEADER, "X: a\r\n"],
        times(60_000, () => " \r\n"),
        ["\r\nx\r\n"],
      ),
  },
  {
    what: "5,000 fields named __proto__",
    reply: "250",
    data: true,
    octets: () =>
      joined(
        [HEADER],
        times(5_000, () => "__proto__: constructor\r\n"),
        ["\r\nx\r\n"],
      ),
  },
  {
    what: "5,000 From fields of the organization",
    reply: "250",
    data: true,
    octets: () =>
      joined(
        times(5_000, () => "From: a@contoso.com\r\n"),
        ["\r\nx\r\n"],
      ),
  },
  {
    what: "a From of 10,000 nested comments",
    reply: "250",
    data: true,
    octets: () => ["From: ", "(".repeat(10_000), " a@contoso.com\r\n\r\nx\r\n"],
  },
  {
    what: "a From of 10,000 addresses",
    reply: "250",
    data: true,
    octets: () => ["From: ", "a@contoso.com,\r\n ".repeat(10_000), "b@contoso.com\r\n\r\nx\r\n"],
  },
  {
    what: "a From of 200,000 brackets",
    reply: "250",
    data: true,
    octets: () => ["From: ", "<".repeat(200_000), "x<a@contoso.com>\r\n\r\nx\r\n"],
  },
  {
    what: "a From of 100,000 colons",
    reply: "250",
    data: true,
    octets: () => ["From: ", "a".repeat(100_000), "@", ":".repeat(100_000), "\r\n\r\nx\r\n"],
  },
  {
    what: "1,000 nested parts",
    reply: "250",
    data: true,
    octets: () =>
      joined(
        [HEADER, "Content-Type: multipart/mixed; boundary=b0\r\n\r\n"],
        times(1000, (at) => `--b${at}\r\nContent-Type: multipart/mixed; boundary=b${at + 1}\r\n\r\n`),
        ["x\r\n"],
      ),
  },
  {
    what: "a command line of 10 MB",
    reply: "500",
    data: false,
    octets: () =>
      joined(
        ["EHLO "],
        times(160, () => block(KIB)),
        ["\r\n"],
      ),
  },
  { what: "an address of 16,000 brackets", reply: "501", data: false, octets: () => [`RCPT TO:${"<".repeat(16_000)}\r\n`] },
  { what: "an address of 16,000 quotes", reply: "501", data: false, octets: () => [`RCPT TO:${'"'.repeat(16_000)}\r\n`] },
];

/** Says it, with back-pressure, and gives the reply to the whole. */
export async function send(port: number, { data, octets }: Heavy): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port });
  let heard = "";
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.on("data", (chunk: Buffer) => {
    heard += chunk.toString("latin1");
    // The first of the replies that the dialogue does not need.
    const after = data ? /^354[^\n]*\n(\d[^\n]*)\r\n/m : /^250 2\.1\.0[^\n]*\n(\d[^\n]*)\r\n/m;
    const reply = after.exec(heard)?.[1];
    if (reply !== undefined) resolve(reply);
  });
  socket.on("close", () => resolve(`(closed) ${heard}`)).on("error", () => undefined);
  await once(socket, "connect");
  socket.write(`EHLO x\r\n${data ? "MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n" : "MAIL FROM:<a@contoso.com>\r\n"}`);
  for (const piece of octets()) if (!socket.write(piece, "latin1")) await once(socket, "drain");
  if (data) socket.write(".\r\n");
  const reply = await promise;
  socket.destroy();
  return reply;
}
