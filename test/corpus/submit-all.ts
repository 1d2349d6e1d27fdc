/** Hands messages in one after the other on one connection. */
import { LineClient } from "../fakes/line-client.ts";
import { queueIdOf } from "../e2e/submit.ts";

/** @returns the queue ids, in order. @throws Error with the reply that was no yes */
export async function submitAll(port: number, contents: readonly Buffer[]): Promise<string[]> {
  await using client = await LineClient.open(port);
  await client.reply();
  const yes = (reply: string, code: string): string => {
    if (!reply.startsWith(code)) throw new Error(`the relay said ${reply}`);
    return reply;
  };
  yes(await client.say("EHLO corpus"), "250");
  const ids: string[] = [];
  for (const content of contents) {
    yes(await client.say("MAIL FROM:<scanner@contoso.com>"), "250");
    yes(await client.say("RCPT TO:<anna@contoso.com>"), "250");
    yes(await client.say("DATA"), "354");
    client.write(onTheWire(content));
    ids.push(queueIdOf(yes(await client.reply(), "250")));
  }
  return ids;
}

/** With its dots stuffed, and the end of DATA behind it. */
function onTheWire(content: Buffer): string {
  const text = content.toString("latin1").replace(/(^|\n)\./g, "$1..");
  return `${text}${text === "" || text.endsWith("\r\n") ? "" : "\r\n"}.\r\n`;
}
