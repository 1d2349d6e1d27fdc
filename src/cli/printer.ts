/** A multifunction printer as the demo needs one: sends one message in plain SMTP, word for word as such firmware does. */
import { createConnection } from "node:net";
import { once } from "node:events";

/** Longest reply of the relay that is waited for. */
const REPLY_TIMEOUT_MS = 30_000;

/** What the printer sends. */
export interface PrinterJob {
  readonly host: string;
  readonly port: number;
  /** Short name, as a device without a domain says it. */
  readonly helo: string;
  readonly from: string;
  readonly to: string;
  /** Header section and body with CRLF line ends. */
  readonly content: Uint8Array;
}

/** One line of the dialogue, without its line end; content is told by its size. */
export interface DialogueLine {
  readonly who: "device" | "relay";
  readonly line: string;
}

/** What came of it. */
export interface PrinterResult {
  /** The reply to the final dot. */
  readonly reply: string;
  /** Last octet of the content to the reply, ms. */
  readonly answeredMs: number;
  readonly dialogue: readonly DialogueLine[];
}

/**
 * Sends the job and says QUIT.
 *
 * @throws Error with the dialogue's last reply when the relay refuses, or when the connection fails
 */
export async function printScan(job: PrinterJob): Promise<PrinterResult> {
  const socket = createConnection({ host: job.host, port: job.port });
  socket.setTimeout(REPLY_TIMEOUT_MS, () => socket.destroy(new Error("the relay did not answer")));
  const dialogue: DialogueLine[] = [];
  const replies = readReplies(socket);

  const expect = async (codes: string): Promise<string> => {
    const { value, done } = await replies.next();
    if (done === true) throw new Error("the relay closed the connection");
    dialogue.push({ who: "relay", line: value });
    if (!codes.split("|").includes(value.slice(0, 3))) throw new Error(`the relay refused: ${value}`);
    return value;
  };
  const say = async (line: string, codes: string): Promise<string> => {
    dialogue.push({ who: "device", line });
    socket.write(`${line}\r\n`);
    return expect(codes);
  };

  try {
    await once(socket, "connect");
    await expect("220");
    await say(`HELO ${job.helo}`, "250");
    await say(`MAIL FROM:<${job.from}>`, "250");
    await say(`RCPT TO:<${job.to}>`, "250");
    await say("DATA", "354");
    socket.write(stuffDots(job.content));
    dialogue.push({ who: "device", line: `(${job.content.byteLength} octets of content) .` });
    const sentAt = performance.now();
    const reply = await expect("250");
    const answeredMs = performance.now() - sentAt;
    await say("QUIT", "221");
    return { reply, answeredMs, dialogue };
  } finally {
    socket.destroy();
  }
}

/** Dot-stuffs and adds the end of DATA (RFC 5321 §4.5.2). */
function stuffDots(content: Uint8Array): Buffer {
  const text = Buffer.from(content).toString("latin1");
  const end = text.endsWith("\r\n") ? ".\r\n" : "\r\n.\r\n";
  return Buffer.from(text.replace(/^\./gm, "..") + end, "latin1");
}

/** The last line of each reply; this printer reads nothing else. */
async function* readReplies(socket: AsyncIterable<Buffer>): AsyncGenerator<string, undefined> {
  let rest = "";
  for await (const chunk of socket) {
    const lines = (rest + chunk.toString("latin1")).split("\r\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (/^\d{3}( |$)/.test(line)) yield line;
  }
  return undefined;
}
