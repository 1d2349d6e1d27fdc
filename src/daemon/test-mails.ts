/** Test mails: small messages of the relay's own that go the way of all mail, for an operator who wants to see it work. */
import type { TestRequest, TestSent, TestSource } from "../admin/sources.ts";
import type { Config } from "../config/config.ts";
import type { Router } from "../deliver/routes.ts";
import { mailDate } from "../dsn/mime.ts";
import { canonicalAddress, isInternalDomain, isNonAscii, splitAddress } from "../mail/address.ts";
import { PosternError } from "../mail/errors.ts";
import type { Emit } from "../mail/events.ts";
import type { AcceptedMessage, Envelope } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import type { MessageSink } from "../queue/queue.ts";

export interface TestMailOptions {
  /** The one in force. */
  readonly config: () => Config;
  readonly queue: MessageSink;
  readonly router: Pick<Router, "find">;
  /** Has a door tried now, closed or paused. */
  readonly kick: (door: string) => void;
  readonly emit: Emit;
  readonly clock: Clock;
}

/** Makes what the operator's API sends test mails with. */
export function testMails(options: TestMailOptions): TestSource {
  return { send: async (request) => await send(request, options) };
}

async function send(request: TestRequest, options: TestMailOptions): Promise<TestSent> {
  const { queue, router, kick, emit, clock } = options;
  const config = options.config();
  const to = addressOf("to", request.to);
  const from = addressOf("from", request.from ?? config.organization.default_sender);
  if (!isInternalDomain(splitAddress(from).domain, config.organization.domains))
    throw new PosternError("E_USAGE", `from: ${from} is in none of organization.domains (${config.organization.domains.join(", ")})`);
  const { upstream } = request;
  if (upstream !== undefined && !Object.hasOwn(config.upstreams, upstream))
    throw new PosternError("E_USAGE", `upstream: ${JSON.stringify(upstream)} is not one of ${Object.keys(config.upstreams).join(", ")}`);

  const now = clock.now();
  const writer = queue.open();
  const { queueId } = writer;
  const messageId = `<${queueId}@${config.hostname}>`;
  const content = Buffer.from(contentOf({ queueId, messageId, from, to, upstream, now, by: request.by.name, config }));
  const envelope: Envelope = {
    reversePath: from,
    recipients: [to],
    // Ours, like a report: no listener, client or device. Unlike one it counts as accepted, and a failure is reported.
    origin: { listener: "", client: "", device: "" },
    kind: "mail",
    // Somebody sits and waits for it.
    priority: "interactive",
    smtpUtf8: isNonAscii(from) || isNonAscii(to),
    eightBit: isNonAscii(content.toString()),
    signed: false,
    longLines: false,
    via: upstream,
    sizeBytes: content.length,
    messageId,
    headerFrom: from,
    subject: config.log.subjects ? SUBJECT : undefined,
    repairs: [],
    sessionStartedAt: now,
  };
  let message: AcceptedMessage;
  try {
    await writer.write(content);
    message = await writer.commit(envelope);
  } catch (error) {
    writer.abort();
    throw error;
  }
  emit({
    type: "message.accepted",
    queueId,
    session: "",
    origin: envelope.origin,
    reversePath: from,
    recipients: envelope.recipients,
    sizeBytes: envelope.sizeBytes,
    messageId,
    subject: envelope.subject,
    repairs: [],
    acceptSeconds: Math.max(0, message.acceptedAt - now) / 1000,
  });
  const { name: operator, declared } = request.by;
  emit({ type: "operator.acted", verb: "test", queueIds: [queueId], recipients: 1, operator, declared });
  const { route, doors } = router.find(envelope, to);
  // Whoever has just repaired a door wants to know now, not at its next probe.
  for (const { door } of doors) kick(door);
  return {
    queueId,
    acceptedAt: message.acceptedAt,
    from,
    to,
    sizeBytes: content.length,
    route: route.name,
    doors: doors.map(({ door, misfit }) => ({ name: door, misfit })),
  };
}

const SUBJECT = "Test mail from Postern";
const MOST_NAME = 60;

/** @throws PosternError E_USAGE for what is not `local@domain`, or could not stand in a header */
function addressOf(key: string, text: string): string {
  const address = canonicalAddress(/^<(.*)>$/.exec(text.trim())?.[1] ?? text.trim());
  const { local, domain } = splitAddress(address);
  if (local === "" || domain === "" || address.length > 320 || /[\s<>,;:"()\\\u0000-\u001f\u007f]/.test(address))
    throw new PosternError("E_USAGE", `${key}: ${JSON.stringify(text.slice(0, 100))} is not an address such as anna@contoso.com`);
  return address;
}

interface ContentFacts {
  readonly queueId: string;
  readonly messageId: string;
  readonly from: string;
  readonly to: string;
  readonly upstream: string | undefined;
  readonly now: number;
  readonly by: string;
  readonly config: Config;
}

function contentOf({ queueId, messageId, from, to, upstream, now, by, config }: ContentFacts): string {
  const { hostname, organization } = config;
  const date = mailDate(now, organization.time_zone);
  const who = by.replace(/[^\x20-\x7e]/g, "?").slice(0, MOST_NAME);
  return [
    `From: "Postern on ${hostname}" <${from}>`,
    `To: <${to}>`,
    `Subject: ${SUBJECT}`,
    `Date: ${date}`,
    `Message-ID: ${messageId}`,
    "Auto-Submitted: auto-generated",
    `X-Postern-Id: ${queueId}`,
    "MIME-Version: 1.0",
    `Content-Type: text/plain; charset=${isNonAscii(from) || isNonAscii(to) ? "utf-8" : "us-ascii"}`,
    "",
    `This is a test mail from the mail relay ${hostname}.`,
    `${who} asked for it on ${date},`,
    upstream === undefined ? "to go the way that the routes say." : `to go by the upstream ${upstream} only.`,
    "",
    `Queue id: ${queueId}`,
    `See its way: postern queue show ${queueId}`,
    "",
  ].join("\r\n");
}
