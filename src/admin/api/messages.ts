/** `/api/v1/messages`: finding messages by what somebody remembers of them. */
import type { Hono } from "hono";
import type { MessageQuery, QueueReader } from "../../queue/queue.ts";
import { readInteger, readText, RequestFault } from "../bodies.ts";

const MOST_FOUND = 1000;
const USUALLY_FOUND = 20;

export function addMessageRoutes(app: Hono, queue: Pick<QueueReader, "find">): void {
  app.get("/api/v1/messages", async (c) => {
    const { limit, ...query } = c.req.query();
    return c.json({ messages: await queue.find(readMessageQuery(query), readInteger("limit", limit ?? USUALLY_FOUND, 1, MOST_FOUND)) });
  });
}

/** Reads messageId, device, address, text, acceptedFrom, acceptedUntil. Unknown keys are faults. */
function readMessageQuery(given: Readonly<Record<string, unknown>>): MessageQuery {
  const query: { -readonly [K in keyof MessageQuery]: MessageQuery[K] } = {};
  for (const [key, value] of Object.entries(given)) {
    switch (key) {
      case "messageId":
      case "device":
      case "address":
      case "text":
        query[key] = readText(key, value);
        break;
      case "acceptedFrom":
      case "acceptedUntil":
        query[key] = readInteger(key, value, 0, Number.MAX_SAFE_INTEGER);
        break;
      default:
        throw new RequestFault(400, "unknown_key", `unknown key ${JSON.stringify(key.slice(0, 40))}`);
    }
  }
  return query;
}
