import { expect, test } from "vitest";
import type { MessageView } from "../queue/queue.ts";
import { renderMessage } from "./message-view.ts";

const AT = Date.UTC(2026, 0, 5, 9, 14);

test.each([
  [AT + 60_000, "next attempt 2026-01-05 09:15:00"],
  [AT - 60_000, "waits for its turn (postern upstreams shows how long)"],
])("mail that is due at %i says so, and not of the past that it is still to come", (dueAt, said) => {
  const view = {
    message: {
      queueId: "01A",
      acceptedAt: AT,
      origin: { device: "" },
      reversePath: "a@contoso.com",
      messageId: "<1@x>",
      sizeBytes: 1,
      repairs: [],
    },
    entries: [{ recipient: "anna@contoso.com", state: "queued", lane: "scans", dueAt }],
    attempts: [],
    history: [],
    hasContent: true,
  } as unknown as MessageView;

  expect(renderMessage(view, "UTC", AT)).toContain(`  anna@contoso.com: queued on scans, ${said}`);
});

test("delivered mail that is missed is looked for at the next hop by a command that can be pasted, whatever a device put into its Message-ID", () => {
  const view = (state: string): MessageView =>
    ({
      message: {
        queueId: "01A",
        acceptedAt: AT,
        origin: { device: "" },
        reversePath: "a@contoso.com",
        messageId: "<1'; Remove-Mailbox $x\u2019@mfp>",
        sizeBytes: 1,
        repairs: [],
      },
      entries: [{ recipient: "anna@contoso.com", state, lane: "scans" }],
      attempts: [],
      history: [],
      hasContent: false,
    }) as unknown as MessageView;

  expect(renderMessage(view("delivered"), "UTC", AT).join("\n")).toContain(
    "Get-MessageTraceV2 -MessageId '<1''; Remove-Mailbox $x\u2019\u2019@mfp>', then look in Junk Email and quarantine",
  );
  expect(renderMessage(view("bounced"), "UTC", AT).join("\n")).not.toContain("Get-MessageTraceV2");
});
