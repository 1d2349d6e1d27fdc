/** Writes what became of an attempt: settlements, history and reports in one commit, and tells of it once that is durable. */
import type { Emit } from "../mail/events.ts";
import type { Claim } from "../queue/queue.ts";
import type { LaneOptions } from "./lane-options.ts";
import type { Settled } from "./settle.ts";

/** What a report says about the attempt itself. */
export interface AttemptedBy {
  readonly remote: string | undefined;
  /** ms since the epoch. */
  readonly lastAttemptAt: number;
}

/**
 * @param isSenderTrial - what is held by its sender already and stays so is no news
 * @throws what the queue throws
 */
export async function writeOutcome(
  options: LaneOptions,
  claim: Claim,
  settled: Settled,
  attempted: AttemptedBy,
  isSenderTrial: boolean,
): Promise<void> {
  const { queue, emit, teller } = options;
  const { settlements, attempt, failed, events } = settled;
  const { queueId } = claim.message;
  const told = await teller.tell(claim, settled, attempted);
  await queue.settle({ claim, settlements, attempt, generated: told.generated, warned: told.warned, postponed: told.postponed });
  for (const event of events) if (!(isSenderTrial && event.type === "recipient.held" && event.heldBy === "sender")) emit(event);
  for (const event of events) {
    if (event.type !== "recipient.held" || event.heldBy !== "corrupt") continue;
    emit({ type: "alert.raised", alert: "message.corrupt", subject: queueId, text: event.cause, remedy: event.remedy });
    break;
  }
  if (claim.message.kind === "alert") tellOfAlert(settled, emit);
  for (const report of told.generated) {
    const { recipients, sizeBytes } = report.envelope;
    emit({ type: "message.generated", queueId: report.queueId, about: queueId, recipients, sizeBytes });
  }
  if (!told.alarm) return;
  emit({
    type: "alert.raised",
    alert: "report.undeliverable",
    subject: queueId,
    text: `a delivery report to the postmaster could not be delivered: ${failed[0]?.cause ?? ""}`,
    remedy: "Check organization.postmaster: it must be a mailbox that exists and takes mail",
  });
}

/** Whether alerts reach somebody by mail. That they do not is told by every other way. */
function tellOfAlert({ events }: Settled, emit: Emit): void {
  const alert = "alert.undeliverable";
  for (const event of events) {
    if (event.type === "recipient.delivered") emit({ type: "alert.cleared", alert, subject: event.recipient });
    if (event.type !== "recipient.bounced" && event.type !== "recipient.expired") continue;
    emit({
      type: "alert.raised",
      alert,
      subject: event.recipient,
      text: `alerts by mail do not arrive at ${event.recipient}: ${event.cause}`,
      remedy: "Check alerts.mail.to: each must be a mailbox that exists and takes mail. postern test --alert tries it",
    });
  }
}
