/**
 * A relay that breaks the promise: it says 250 while the message is in memory only. The crash harness must find it out.
 *
 *     node test/crash/forgetful-relay.ts PORT NEXT_HOP_PORT
 */
import { createHash } from "node:crypto";
import { SmtpReceiver } from "./smtp-receiver.ts";
import { Submitter } from "./submitter.ts";

const [port, nextHop] = process.argv.slice(2).map(Number);
const waiting: Buffer[] = [];
let sending = false;

/** Sends one at a time, so that some always wait. */
async function sendAll(): Promise<void> {
  if (sending) return;
  sending = true;
  const next = new Submitter(nextHop ?? 0);
  for (let content = waiting.shift(); content !== undefined; content = waiting.shift()) await next.deliver(content);
  next.close();
  sending = false;
}

const receiver = new SmtpReceiver((content) => {
  const queueId = createHash("sha256").update(content).update(String(process.hrtime.bigint())).digest("hex").toUpperCase().slice(0, 26);
  waiting.push(Buffer.concat([Buffer.from(`X-Postern-Id: ${queueId}\r\n`), content]));
  setImmediate(() => void sendAll());
  return `250 2.0.0 Ok: queued as ${queueId}`;
});
await receiver.listen(port ?? 0);
console.log("ready");
