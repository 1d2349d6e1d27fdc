/** `/test`: a test mail of the relay's own, which then is followed by its queue id like any other. */
import { z } from "./engine.ts";
import { list, text, time } from "./fields.ts";
import { jsonRoute, type Route } from "./route.ts";

const Sent = z
  .strictObject({
    queueId: z.string(),
    acceptedAt: time("When it was accepted."),
    from: z.string(),
    to: z.string(),
    sizeBytes: z.number(),
    route: z.string().describe("The route that it takes."),
    doors: list(z.strictObject({ name: z.string(), misfit: z.string().optional().describe("Why it cannot take the mail.") })).describe(
      "The route's upstreams in order.",
    ),
  })
  .meta({ id: "TestSent", description: "A test mail that is in the queue." });

export const TEST_ROUTES: readonly Route[] = [
  jsonRoute(
    {
      method: "post",
      path: "/test",
      role: "operator",
      summary: "Send a test mail",
      description: "It is in the queue when this is answered: follow it with GET /queue/ID.",
      acts: true,
      body: z.strictObject({
        to: text("Recipient."),
        from: text("Sender, in one of the organization's domains; default: organization.default_sender.").optional(),
        upstream: text("By this upstream only; default: as the routes say.").optional(),
      }),
      answer: Sent,
    },
    async ({ tests }, { body: { to, from, upstream }, operator }) => await tests.send({ to, from, upstream, by: operator }),
  ),
];
