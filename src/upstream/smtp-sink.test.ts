import { userInfo } from "node:os";
import { afterEach, expect, test } from "vitest";
import { freePort } from "../../test/support/ports.ts";
import { startProcess } from "../../test/support/process.ts";
import type { RunningProcess } from "../../test/support/process.ts";
import { findTool } from "../../test/support/tools.ts";
import { systemClock } from "../platform/clock.ts";
import { createSmartHostUpstream } from "./smart-host.ts";
import type { AttemptFacts, Upstream } from "./upstream.ts";

const smtpSink = findTool("smtp-sink");
const never = new AbortController().signal;

let sink: RunningProcess | undefined;
let upstream: Upstream | undefined;
afterEach(async () => {
  await upstream?.close();
  await sink?.stop();
});

/** The sink needs a moment to listen: being refused until then is what it tells. */
async function whenReachable(attempt: () => Promise<AttemptFacts>): Promise<AttemptFacts> {
  for (;;) {
    const facts = await attempt();
    if (facts.refusal?.fault?.code !== "ECONNREFUSED") return facts;
  }
}

test.skipIf(smtpSink === undefined)("Postfix's smtp-sink takes small and large messages on kept connections", async () => {
  const port = await freePort();
  sink = await startProcess(smtpSink as string, [...(userInfo().uid === 0 ? ["-u", "nobody"] : []), `127.0.0.1:${port}`, "100"]);
  upstream = createSmartHostUpstream({
    name: "sink",
    host: "127.0.0.1",
    port,
    tls: "opportunistic",
    ehloName: "relay.contoso.com",
    limits: { connections: 4, messagesPerMinute: undefined, recipientsPerMessage: 100, maxMessageSizeBytes: 1e9 },
    clock: systemClock,
    emit: () => {},
  });
  const door = upstream;
  const send = async (content: Uint8Array, whole: boolean): Promise<AttemptFacts> => {
    async function* blocks(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < content.length; at += 65_536) yield content.subarray(at, at + 65_536);
    }
    const recipients = ["a@contoso.com", "b@contoso.com"];
    return await door.attempt(
      {
        queueId: "01",
        reversePath: "scan@contoso.com",
        recipients,
        smtpUtf8: false,
        eightBit: false,
        sizeBytes: content.length,
        content: { inMemory: whole ? content : undefined, blocks },
      },
      never,
    );
  };
  const small = Buffer.from(".\r\n..\r\n");
  const large = Buffer.from(`.${"x".repeat(74)}\r\n`.repeat(20_000));

  await whenReachable(async () => await send(small, true));
  const all = await Promise.all(
    Array.from({ length: 40 }, async (_, index) => await send(index % 4 === 0 ? large : small, index % 4 !== 0)),
  );

  expect(all.map((facts) => facts.accepted?.code)).toEqual(all.map(() => 250));
  expect(all.filter((facts) => facts.reusedConnection).length).toBeGreaterThanOrEqual(36);
});
