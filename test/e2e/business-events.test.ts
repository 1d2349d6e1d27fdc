/** What the lines of docs/monitoring.md say of mail, connections and sign-ins, on the whole product. */
import { afterEach, expect, test } from "vitest";
import { freePort } from "../support/ports.ts";
import { ANNA, SCANNER, startContoso, WRONG_SECRET, type Contoso } from "./tenant.ts";

let contoso: Contoso;
afterEach(async () => {
  try {
    await contoso.expectSound();
  } finally {
    await contoso.close();
  }
});

test("sent and failed name device, sender, Message-ID and how many got the mail; connection and sign-in the mailbox", async () => {
  contoso = await startContoso();
  const { scan, event } = contoso;
  const queueId = await scan(SCANNER, ANNA, "unknown@contoso.com");
  const { messageId } = await event("message.accepted");

  const mail = { client: "floor", device: "127.0.0.1", reversePath: SCANNER, messageId, recipients: 2 };
  expect(await event("recipient.delivered")).toMatchObject({ queueId, recipient: ANNA, upstream: "scans", mail });
  expect(await event("recipient.bounced")).toMatchObject({
    queueId,
    recipient: "unknown@contoso.com",
    upstream: "scans",
    mail,
    reply: { code: 550 },
    cause: expect.any(String) as unknown,
    remedy: expect.any(String) as unknown,
  });
  expect(await event("upstream.connected")).toMatchObject({
    upstream: "scans",
    remote: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as unknown,
  });
  expect(await event("upstream.auth.succeeded")).toEqual({ type: "upstream.auth.succeeded", upstream: "scans", mailbox: SCANNER });
});

test("a sign-in and a connection that fail say what to do", async () => {
  const dead = { type: "smart-host", host: "127.0.0.1", port: await freePort(), tls: "none" };
  contoso = await startContoso({
    secret: WRONG_SECRET,
    upstreams: () => ({ dead }),
    routes: [
      { name: "dead", match: { recipients: [ANNA] }, via: ["dead"] },
      { name: "default", via: ["scans"] },
    ],
  });
  await contoso.scan(SCANNER, ANNA);

  expect(await contoso.event("upstream.auth.failed")).toMatchObject({
    upstream: "scans",
    mailbox: SCANNER,
    stage: "token",
    cause: expect.stringContaining("AADSTS7000215") as unknown,
    remedy: expect.stringMatching(/secret/) as unknown,
  });
  expect(await contoso.event("upstream.connect.failed")).toMatchObject({
    upstream: "dead",
    stage: "connect",
    cause: expect.stringContaining("ECONNREFUSED") as unknown,
    remedy: expect.any(String) as unknown,
  });
});
