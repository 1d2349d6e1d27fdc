/** What becomes of senders on the whole product: a mailbox at the stand-in for Microsoft 365 that may send as itself only. */
import { createHash } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { submit } from "./submit.ts";
import { ANNA, header, SCANNER, startContoso, type Contoso, type ContosoOptions } from "./tenant.ts";

const BRUNO = "bruno@contoso.com";

let contoso: Contoso;

async function begin(options?: ContosoOptions): Promise<Contoso> {
  contoso = await startContoso(options);
  return contoso;
}

afterEach(async () => {
  try {
    await contoso.expectSound(true);
  } finally {
    await contoso.close();
  }
});

/** A device submits what it likes. */
async function send(from: string, content: string | Buffer): Promise<string> {
  return await submit(contoso.relay().addresses[0]?.port ?? 0, { from, to: [ANNA], content });
}

const outcomes = (): string[] => contoso.all("attempt.finished").map(({ outcome }) => outcome);

const MAIL = `From: "Floor 2, left" <${BRUNO}>\r\nTo: ${ANNA}\r\nSubject: Scan\r\n  of 9:14\r\nX-Odd :  spaces \t\r\n\r\nFrom: the body\r\n..\r\n`;

test("a sender that the mailbox may not use is rewritten before Microsoft sees it, and answers go to the sender", async () => {
  const { sim, event } = await begin();

  await send(BRUNO, MAIL);
  const [message] = await sim.waitFor(1);
  await event("recipient.delivered");

  const text = message?.content?.toString("latin1") ?? "";
  expect(outcomes()).toEqual(["delivered"]);
  expect(message).toMatchObject({ reversePath: SCANNER, headerFrom: [SCANNER] });
  expect(header(message!, "From")).toBe(`"Floor 2, left" <${SCANNER}>`);
  expect(header(message!, "Reply-To")).toBe(BRUNO);
  expect(header(message!, "X-Postern-Original-Sender")).toBe(BRUNO);
  // All else is what the device sent.
  expect(text).toContain(`To: ${ANNA}\r\nSubject: Scan\r\n  of 9:14\r\nX-Odd :  spaces \t\r\n`);
  expect(text.slice(text.indexOf("\r\n\r\n"))).toBe("\r\n\r\nFrom: the body\r\n..\r\n");
});

test("a scan of 3 MB is rewritten as it streams by: its body arrives octet for octet", async () => {
  const { sim, event } = await begin();
  const body = `${"0123456789abcdef".repeat(4)}\r\n.\r\n..\r\n`.repeat(43_000);

  await send(BRUNO, `${MAIL.slice(0, MAIL.indexOf("\r\n\r\n"))}\r\n\r\n${body}`);
  const [message] = await sim.waitFor(1);
  await event("recipient.delivered");

  expect(message).toMatchObject({ reversePath: SCANNER, headerFrom: [SCANNER] });
  expect(message?.bodySha256).toBe(createHash("sha256").update(body).digest("hex"));
});

test("kept senders that Microsoft refuses go once more, rewritten; with the right they go as they are", async () => {
  const { sim, event } = await begin({ sender: { mode: "keep" } });

  await send(BRUNO, MAIL);
  const [rewritten] = await sim.waitFor(1);
  await event("recipient.delivered");
  sim.tenant.mailboxes.find(({ address }) => address === SCANNER)?.sendAs.push(BRUNO);
  await send(BRUNO, MAIL);
  const [, kept] = await sim.waitFor(2);
  await event("recipient.delivered", ({ queueId }) => queueId === header(kept!, "X-Postern-Id"));

  expect(rewritten).toMatchObject({ reversePath: SCANNER, headerFrom: [SCANNER] });
  expect(kept).toMatchObject({ reversePath: BRUNO, headerFrom: [BRUNO] });
  expect(outcomes()).toEqual(["deferred", "delivered", "delivered"]);
  expect(contoso.all("recipient.held")).toEqual([]);
});

test("on behalf of: From stays, the mailbox stands in Sender and in the envelope", async () => {
  const { sim, event } = await begin({
    sender: { mode: "on-behalf-of" },
    prepare: ({ tenant }) => tenant.mailboxes.find(({ address }) => address === SCANNER)?.sendAs.push(BRUNO),
  });

  await send(BRUNO, MAIL);
  const [message] = await sim.waitFor(1);
  await event("recipient.delivered");

  expect(message).toMatchObject({ reversePath: SCANNER, headerFrom: [BRUNO] });
  expect(header(message!, "Sender")).toBe(SCANNER);
});

test("a signed message is not rewritten: it is held by its sender, with the remedy, and others flow", async () => {
  const { sim, relay, scan, event } = await begin();

  const signedId = await send(BRUNO, `DKIM-Signature: v=1; d=contoso.com\r\n${MAIL}`);
  const held = await event("recipient.held");
  await scan(SCANNER, ANNA);
  await event("recipient.delivered");

  expect(held).toMatchObject({ queueId: signedId, heldBy: "sender", remedy: expect.stringContaining("send_as") });
  expect(sim.messages()).toHaveLength(1);
  expect(await relay().queue.statistics()).toMatchObject({ waiting: { held: 1 }, final: { delivered: 1 } });
});

test("where a connector comes next, signed mail goes by it as it is, and so does what the mailbox may not send", async () => {
  const { sim } = await begin({ via: ["scans", "connector"], sender: { send_as: [BRUNO] } });

  await send("clara@contoso.com", `DKIM-Signature: v=1; d=contoso.com\r\n${MAIL.replace(BRUNO, "clara@contoso.com")}`);
  await sim.waitFor(1);
  await send(BRUNO, MAIL);
  await sim.waitFor(2);
  await send("clara@contoso.com", MAIL.replace(BRUNO, "clara@contoso.com"));
  await sim.waitFor(3);

  expect(sim.messages().map(({ door, reversePath }) => [door, reversePath])).toEqual([
    ["connector", "clara@contoso.com"],
    // Microsoft knows nothing of this right.
    ["connector", BRUNO],
    ["submission", SCANNER],
  ]);
  expect(contoso.all("recipient.moved").map(({ cause }) => cause)).toEqual([
    expect.stringContaining("signed"),
    expect.stringContaining("may not send as this sender"),
  ]);
});

test("a connector by address carries the null reverse-path inside the organization", async () => {
  const { sim, event } = await begin({ via: ["connector"] });

  await send("", MAIL);
  const [message] = await sim.waitFor(1);
  await event("recipient.delivered");

  expect(message).toMatchObject({ door: "connector", reversePath: "", headerFrom: [BRUNO] });
  expect(header(message!, "Auto-Submitted")).toBeUndefined();
});

test("mail with the null reverse-path goes out as the mailbox, marked so that nobody answers it, and is never reported about", async () => {
  const { sim, event, relay } = await begin();

  await send("", MAIL.replace(BRUNO, SCANNER));
  const [message] = await sim.waitFor(1);
  await event("recipient.delivered");

  expect(message).toMatchObject({ reversePath: SCANNER });
  expect(header(message!, "Auto-Submitted")).toBe("auto-replied");
  expect(header(message!, "X-Postern-Loop")).toBe("relay.contoso.com");
  expect(await relay().queue.statistics()).toMatchObject({ generated: 0 });
});

test("a whole file as one base64 line of 300 KB arrives in lines of 76, and as the same file", async () => {
  const { sim, event } = await begin();
  const pdf = Buffer.from(Array.from({ length: 225_000 }, (_, at) => (at * 7919) % 251));
  const head = `From: ${SCANNER}\r\nTo: ${ANNA}\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n`;

  await send(SCANNER, `${head}${pdf.toString("base64")}\r\n`);
  const [message] = await sim.waitFor(1);
  await event("recipient.delivered");

  const text = message?.content?.toString("latin1") ?? "";
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  expect(Math.max(...text.split("\r\n").map((line) => line.length))).toBeLessThan(998);
  expect(Math.max(...body.split("\r\n").map((line) => line.length))).toBe(76);
  expect(Buffer.from(body, "base64").equals(pdf)).toBe(true);
});
