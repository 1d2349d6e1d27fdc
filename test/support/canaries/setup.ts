/** Before each test file: listens for canaries, and fails the test in which one was heard. What is closed after the last test is part of that file. */
import { afterAll, afterEach } from "vitest";
import { listen, overhear, takeHeard } from "./canaries.ts";

/** What a relay answers over HTTP; the stand-in, which tests ask as well, hands out tokens. */
const OURS = /^https?:\/\/[^/]+\/(metrics|healthz|readyz|api\/v1)\b/;

listen();
const { fetch: ask } = globalThis;
globalThis.fetch = async (input, init) => {
  const response = await ask(input, init);
  const url = input instanceof Request ? input.url : String(input);
  if (OURS.test(url)) overhear(`the answer to ${url}`, await response.clone().text());
  return response;
};

// Hooks that were registered first run last: after those of the file, which stop relays and remove folders.
afterEach(failIfHeard);
afterAll(failIfHeard);

function failIfHeard(): void {
  const heard = takeHeard();
  if (heard.length > 0) throw new Error(`what must never leave the relay was heard outside:\n${heard.join("\n")}`);
}
