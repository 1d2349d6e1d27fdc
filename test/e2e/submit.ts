/** A device: hands one message over in plain SMTP, word by word. */
import { LineClient } from "../fakes/line-client.ts";

/** What a device sends. */
export interface Job {
  readonly from: string;
  readonly to: readonly string[];
  /** Header and body with whatever line ends; dots are stuffed here. */
  readonly content: string | Uint8Array;
  readonly helo?: string | undefined;
}

/**
 * Submits one message.
 *
 * @returns the queue id that the 250 told
 * @throws Error with the reply that was no yes
 */
export async function submit(port: number, job: Job): Promise<string> {
  await using client = await LineClient.open(port);
  const expect = (reply: string, code: string): string => {
    if (!reply.startsWith(code)) throw new Error(`the relay said ${reply}`);
    return reply;
  };
  expect(await client.reply(), "220");
  expect(await client.say(`HELO ${job.helo ?? "PRINTER"}`), "250");
  expect(await client.say(`MAIL FROM:<${job.from}>`), "250");
  for (const recipient of job.to) expect(await client.say(`RCPT TO:<${recipient}>`), "250");
  expect(await client.say("DATA"), "354");
  client.write(`${stuffed(job.content)}\r\n.\r\n`);
  const reply = expect(await client.reply(), "250");
  expect(await client.say("QUIT"), "221");
  return queueIdOf(reply);
}

/** The queue id in the reply to the final dot. */
export function queueIdOf(reply: string): string {
  const id = /^250 2\.0\.0 Ok: queued as ([0-9A-Z]{26})$/.exec(reply)?.[1];
  if (id === undefined) throw new Error(`no queue id in ${reply}`);
  return id;
}

/** Without the last line end, which belongs to the end of data. */
function stuffed(content: string | Uint8Array): string {
  const text = typeof content === "string" ? content : Buffer.from(content).toString("latin1");
  return text.replace(/\r\n$/, "").replace(/(^|\n)\./g, "$1..");
}
