/** Before each test file: listens for canaries, and fails the test in which one was heard. What is closed after the last test is part of that file. */
import { afterAll, afterEach } from "vitest";
import { listen, overhear, takeHeard } from "./canaries.ts";

/** What a relay answers over HTTP; the stand-in, which tests ask as well, hands out tokens. */
const OURS = /^https?:\/\/[^/]+\/(metrics|healthz|readyz|api\/v1)\b/;

/** Who asks for the message itself gets it. */
const CONTENT = /\/api\/v1\/queue\/[^/?]+\/content$/;

if (listen()) {
  const { fetch: ask } = globalThis;
  globalThis.fetch = async (input, init) => {
    const response = await ask(input, init);
    const url = input instanceof Request ? input.url : String(input);
    if (!OURS.test(url)) return response;
    const where = `the answer to ${url}`;
    if (response.headers.get("content-type")?.startsWith("text/event-stream") === true) return overhearing(where, response);
    overhear(where, await response.clone().text(), { content: CONTENT.test(url) });
    return response;
  };
}

/** An answer that does not end: listened to piece by piece, as it is read. */
function overhearing(where: string, response: Response): Response {
  const pieces = new TransformStream<Uint8Array, Uint8Array>({
    transform(piece, controller) {
      overhear(where, Buffer.from(piece).toString());
      controller.enqueue(piece);
    },
  });
  return new Response(response.body?.pipeThrough(pieces) ?? null, response);
}

// Hooks that were registered first run last: after those of the file, which stop relays and remove folders.
afterEach(failIfHeard);
afterAll(failIfHeard);

function failIfHeard(): void {
  const heard = takeHeard();
  if (heard.length > 0) throw new Error(`what must never leave the relay was heard outside:\n${heard.join("\n")}`);
}
