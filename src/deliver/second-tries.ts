/**
 * Messages that Microsoft refused for their sender: each goes once more, rewritten to the door's own address, before it is held.
 *
 * The second try waits its turn like any other attempt, so that it keeps the door's budget, and the history shows both. Crash here, what is
 * lost? Nothing: the message is deferred; after a restart it is refused once more, and rewritten then.
 */
import type { AcceptedMessage } from "../mail/message.ts";
import type { Judgement, Verdict } from "./judge.ts";
import { rewriteAddress, type SendingDoor } from "./sender-plan.ts";

/** Most messages remembered at a time; one that is forgotten is refused once more. */
const MOST_REMEMBERED = 10_000;

export class SecondTries {
  readonly #door: SendingDoor;
  /** Queue ids. */
  readonly #due = new Set<string>();

  constructor(door: SendingDoor) {
    this.#door = door;
  }

  /** Whether the message goes rewritten now. */
  has(queueId: string): boolean {
    return this.#due.has(queueId);
  }

  /**
   * Turns holds for the sender's sake into a second try where that can change something.
   *
   * @param senderIsOwn - the attempt was made with the door's own address
   * @param goesOn - by position: another door gets it, which may let the sender be
   */
  apply(judgement: Judgement, message: AcceptedMessage, senderIsOwn: boolean, goesOn: (position: number) => boolean = nowhere): Judgement {
    const { queueId } = message;
    if (this.#due.has(queueId)) {
      // Until it is decided: a second try that was merely put off is still to be made.
      if (!judgement.verdicts.some(({ kind }) => kind === "retry" || kind === "return")) this.#due.delete(queueId);
      return judgement;
    }
    const address = rewriteAddress(this.#door);
    const canChange = this.#door.traits.microsoft && address !== undefined && !senderIsOwn && message.signed !== true;
    const isSecond = (verdict: Verdict, position: number): verdict is SenderRefused => isSenderRefused(verdict) && !goesOn(position);
    if (!canChange || !judgement.verdicts.some(isSecond)) return judgement;
    if (this.#due.size >= MOST_REMEMBERED)
      for (const oldest of this.#due) {
        this.#due.delete(oldest);
        break;
      }
    this.#due.add(queueId);
    const verdicts = judgement.verdicts.map((verdict, position): Verdict => {
      if (!isSecond(verdict, position)) return verdict;
      const { finding } = verdict;
      const cause = `${finding.cause}; it goes once more, rewritten to ${address}`;
      return { kind: "retry", finding: { ...finding, cause }, ambiguous: false, waitMs: 0 };
    });
    return { verdicts, door: judgement.door };
  }
}

const nowhere = (): boolean => false;

type SenderRefused = Extract<Verdict, { readonly kind: "hold" | "next" }>;

function isSenderRefused(verdict: Verdict): verdict is SenderRefused {
  return (
    (verdict.kind === "hold" || verdict.kind === "next") &&
    verdict.finding.id.startsWith("sender-denied") &&
    verdict.finding.scope === "sender"
  );
}
