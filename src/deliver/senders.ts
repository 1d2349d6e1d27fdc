/** Faults of senders on one door: an alarm for each while it lasts, and the rule that three senders with one fault make it the door's. */
import type { Emit, PosternEvent } from "../mail/events.ts";
import type { Finding, Judgement } from "./judge.ts";

/** As many different senders must meet the same fault. */
const STRIKES = 3;
/** Most senders and faults remembered; a fault that goes on is met again. */
const MOST_REMEMBERED = 1_000;

export class SenderTrouble {
  readonly #upstream: string;
  readonly #emit: Emit;
  /** Senders with an alarm. */
  #alarmed = new Set<string>();
  /** Senders by the fault they met, since the door last took a message. */
  #met = new Map<string, Set<string>>();

  constructor(upstream: string, emit: Emit) {
    this.#upstream = upstream;
    this.#emit = emit;
  }

  /**
   * Counts refusals of messages by policy. A sender's own missing right is not counted: it says nothing about the others.
   *
   * @returns the fault that a third sender has just met
   */
  strikes(judgement: Judgement, sender: string): Finding | undefined {
    for (const verdict of judgement.verdicts) {
      if (verdict.kind === "delivered") {
        if (this.#met.size > 0) this.#met.clear();
        return undefined;
      }
      if (verdict.kind !== "hold" || verdict.by !== "sender" || verdict.finding.scope !== "message") continue;
      const { reply, id } = verdict.finding;
      const key = `${id} ${reply?.code ?? ""} ${reply?.enhanced ?? ""}`;
      const senders = this.#met.get(key) ?? new Set<string>();
      senders.add(sender.toLowerCase());
      if (this.#met.size < MOST_REMEMBERED) this.#met.set(key, senders);
      if (senders.size >= STRIKES) {
        this.#met.clear();
        return verdict.finding;
      }
    }
    return undefined;
  }

  /** Raises and clears alarms by what was just settled. */
  noticed(sender: string, events: readonly PosternEvent[]): void {
    const held = events.find((event) => event.type === "recipient.held");
    const key = sender.toLowerCase();
    if (held?.heldBy === "corrupt") {
      this.#emit({ type: "alert.raised", alert: "message.corrupt", subject: held.queueId, text: held.cause, remedy: held.remedy });
    } else if (held?.heldBy === "sender" && !this.#alarmed.has(key) && this.#alarmed.size < MOST_REMEMBERED) {
      this.#alarmed.add(key);
      this.#emit({
        type: "alert.raised",
        alert: "sender.held",
        subject: `${this.#upstream} ${sender}`,
        text: `mail of ${sender} is held: ${held.cause}`,
        remedy: held.remedy,
      });
    } else if (
      this.#alarmed.size > 0 &&
      held === undefined &&
      this.#alarmed.has(key) &&
      events.some((event) => event.type === "recipient.delivered")
    ) {
      this.#alarmed.delete(key);
      this.#emit({ type: "alert.cleared", alert: "sender.held", subject: `${this.#upstream} ${sender}` });
    }
  }
}
