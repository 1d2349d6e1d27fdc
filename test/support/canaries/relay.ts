/** Asks a running relay everything that it answers, and listens for canaries. */
import { controlSocketPath } from "../../../src/admin/control-socket.ts";
import { openControlClient } from "../../../src/cli/control-client.ts";
import type { LogDestination } from "../../../src/observe/log.ts";
import { overhear } from "./canaries.ts";

const QUESTIONS = ["version", "status", "queue?limit=1000", "messages?limit=1000", "devices", "alerts"] as const;
/** Of so many messages also the whole story and what was said with the next hop. */
const MESSAGES = 20;

/** A destination for the log of a relay in this process. */
export function overheardLog(keep?: string[]): Exclude<LogDestination, number | string> {
  return {
    write: (line) => {
      overhear("the log", line);
      keep?.push(line);
    },
  };
}

/**
 * Never rejects: a relay that has ended already has nothing to say.
 *
 * @param dataDir - the relay's `data_dir`
 * @param adminPort - where `/metrics` is; undefined where nobody listens
 */
export async function askEverything(dataDir: string, adminPort: number | undefined): Promise<void> {
  const client = openControlClient(controlSocketPath(dataDir));
  const ask = async (question: string): Promise<unknown> => {
    const answer = await client.get(`/api/v1/${question}`).catch(() => undefined);
    if (answer !== undefined) overhear(`the API's answer to ${question}`, JSON.stringify(answer));
    return answer;
  };
  let messages: readonly { readonly queueId: string }[] = [];
  for (const question of QUESTIONS) {
    const answer = await ask(question);
    if (answer === undefined) return;
    if (question.startsWith("messages")) ({ messages } = answer as { messages: typeof messages });
  }
  for (const { queueId } of messages.slice(0, MESSAGES)) {
    await ask(`queue/${queueId}`);
    await ask(`transcripts/${queueId}`);
  }
  if (adminPort === undefined) return;
  // Listened to by `setup.ts`.
  for (const path of ["metrics", "healthz", "readyz"])
    await fetch(`http://127.0.0.1:${adminPort}/${path}`).then(
      (answer) => answer.text(),
      () => undefined,
    );
}
