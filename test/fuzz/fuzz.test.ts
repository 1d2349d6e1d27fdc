/** The short form of `npm run fuzz`, and that its oracle sees what it must. */
import { expect, test } from "vitest";
import { startHostileRelay } from "../hostile/hostile-relay.ts";
import type { Accepted } from "../hostile/hostile-relay.ts";
import { fuzzCase } from "./cases.ts";
import type { ClientName } from "./cases.ts";
import { wrong } from "./oracle.ts";
import { CASES_AT_A_TIME, FuzzRun } from "./run.ts";

test("a thousand cases find nothing", async () => {
  await using relay = await startHostileRelay();
  const run = new FuzzRun(relay, 20_260_105);
  const findings: string[] = [];
  for (let first = 0; first < 1_000; first += CASES_AT_A_TIME) {
    for (const { number, what } of await run.play(first, CASES_AT_A_TIME)) findings.push(`case ${number}: ${what}`);
  }

  expect(findings).toEqual([]);
  expect(relay.accepted.length).toBeGreaterThan(100);
}, 120_000);

test("a case is the same for the same seed", () => {
  expect(fuzzCase(7, 42)).toEqual(fuzzCase(7, 42));
  expect(fuzzCase(7, 42)).not.toEqual(fuzzCase(8, 42));
});

const MAIL = "MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\nx\r\n.\r\n";
const HEARD = "220 x\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n250 2.0.0 Ok: queued as Q\r\n";
const taken = (changes: Partial<Accepted> = {}): Accepted => ({
  queueId: "Q",
  device: "127.0.1.1",
  reversePath: "a@contoso.com",
  recipients: ["b@contoso.com"],
  sizeBytes: 1,
  ...changes,
});

test("the oracle has nothing against a mail that was sent and taken", () => {
  expect(wrong("floor", Buffer.from(MAIL), HEARD, [taken()])).toBeUndefined();
});

test("the oracle has nothing against a local part that only looks like another domain", () => {
  const recipients = ["anna\u00caexample.net@contoso.com", "anna}example.net@contoso.com", "anna=example.net@contoso.com"];
  expect(wrong("floor", Buffer.from(MAIL), HEARD, [taken({ recipients })])).toBeUndefined();
});

test.each<[string, ClientName, string, string, Accepted[]]>([
  ["mail of a stranger", "unlisted", MAIL, "", [taken()]],
  ["one mail taken for two", "floor", MAIL, HEARD, [taken(), taken()]],
  ["a smuggled mail", "floor", MAIL.replace("x\r\n", "x\n.\nMAIL FROM:<c@contoso.com>\n"), HEARD, [taken(), taken()]],
  ["mail without DATA", "floor", MAIL.replace("DATA", "NOOP"), HEARD, [taken()]],
  ["a relay to outside", "floor", MAIL, HEARD, [taken({ recipients: ["v@example.net"] })]],
  ["a hidden relay to outside", "floor", MAIL, HEARD, [taken({ recipients: ["v%example.net@contoso.com"] })]],
  ["a relay by another host", "floor", MAIL, HEARD, [taken({ recipients: ["example.net!v@contoso.com"] })]],
  ["a relay by a quoted address", "floor", MAIL, HEARD, [taken({ recipients: ['"v@example.net"@contoso.com'] })]],
  ["a sender outside", "floor", MAIL, HEARD, [taken({ reversePath: "ceo@example.net" })]],
  ["a line end in an address", "app", MAIL, HEARD, [taken({ recipients: ["a\r\nb@x"] })]],
  ["a promise that was not kept", "app", MAIL, HEARD, []],
  ["a reply out of order", "app", MAIL, HEARD.replace("250 2.1.5 Ok\r\n", ""), [taken()]],
  ["half a reply", "app", MAIL, "220 x\r\nfoo\r\n", []],
  ["mail of somebody who did not sign in", "guest", MAIL, HEARD, [taken()]],
  ["a sign-in without a password", "guest", MAIL, "220 x\r\n235 2.7.0 Ok\r\n", []],
  ["mail of a balancer itself", "balancer", MAIL, HEARD, [taken()]],
  ["a word to a stranger", "unlisted", MAIL, "220 x\r\n", []],
])("the oracle sees %s", (_, client, sent, heard, accepted) => {
  expect(wrong(client, Buffer.from(sent), heard, accepted)).toBeDefined();
});
