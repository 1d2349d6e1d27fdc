/** The rule that a fault which three senders meet on one door is the door's. */
import type { Finding, Judgement } from "./judge.ts";

/** As many different senders must meet the same fault. */
const STRIKES = 3;
/** Most senders and faults remembered; a fault that goes on is met again. */
const MOST_REMEMBERED = 1_000;

export class SharedFaults {
  /** Senders by the fault they met, since the door last took a message. */
  readonly #met = new Map<string, Set<string>>();

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
      const own = verdict.kind === "next" ? verdict.otherwise : verdict;
      if (own.kind !== "hold" || own.by !== "sender" || own.finding.scope !== "message" || own.finding.othersPass === true) continue;
      const { reply, id } = own.finding;
      const key = `${id} ${reply?.code ?? ""} ${reply?.enhanced ?? ""}`;
      const senders = this.#met.get(key) ?? new Set<string>();
      senders.add(sender.toLowerCase());
      if (this.#met.size < MOST_REMEMBERED) this.#met.set(key, senders);
      if (senders.size >= STRIKES) {
        this.#met.clear();
        return own.finding;
      }
    }
    return undefined;
  }
}
