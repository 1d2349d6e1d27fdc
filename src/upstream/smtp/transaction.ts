/** One message's transaction: the replies to it as they came, and the facts that they make. */
import { isNonAscii, isWritable } from "../../mail/address.ts";
import { formatReply } from "../../mail/reply.ts";
import type { Reply } from "../../mail/reply.ts";
import type { Delivery, RecipientFact, Refusal, Stage } from "../upstream.ts";
import { faultAt } from "./fault.ts";

/** How a transaction went: the SMTP half of AttemptFacts. */
export interface TransactionFacts {
  readonly recipients: readonly RecipientFact[];
  readonly refusal: Refusal | undefined;
  readonly accepted: Reply | undefined;
  readonly ambiguous: boolean;
  /** The dialogue stands where another transaction can begin, after RSET when something was refused. */
  readonly reuse: "yes" | "after-reset" | "no";
  /** Nothing of the content went out, and the connection was lost or ended by a 421: on a kept connection that is no failure. */
  readonly stale: boolean;
}

/** What is known of a transaction under way. The connection notes the replies. */
export class Transaction {
  readonly delivery: Delivery;
  /** The recipients that are named to the server, in the order of `delivery.recipients`. */
  readonly tried: readonly string[];
  mail: Reply | undefined;
  readonly rcpts: Reply[] = [];
  data: Reply | undefined;
  final: Reply | undefined;
  /** `content` when the final reply came before the final dot. */
  finalStage: Stage = "final";
  /** The server took DATA without a recipient, and was given an empty message: its answer means nothing. */
  emptied = false;

  constructor(delivery: Delivery, tried: readonly string[]) {
    this.delivery = delivery;
    this.tried = tried;
  }

  /** A reply came while the dialogue stood at `stage`. */
  note(stage: Stage, reply: Reply): void {
    if (stage === "mail") {
      this.mail = reply;
    } else if (stage === "rcpt") {
      this.rcpts.push(reply);
    } else if (stage === "data") {
      if (!this.emptied) this.data = reply;
    } else {
      this.final = reply;
      this.finalStage = stage;
    }
  }

  get mailAccepted(): boolean {
    return this.mail !== undefined && isPositive(this.mail);
  }

  get everyRcptAnswered(): boolean {
    return this.rcpts.length === this.tried.length;
  }

  get someRcptAccepted(): boolean {
    for (const reply of this.rcpts) if (isPositive(reply)) return true;
    return false;
  }

  /**
   * The facts, once the dialogue is over.
   *
   * @param ended - what ended it, where that was not the last reply
   * @param awaiting - where the dialogue stood
   * @param usable - whether the connection can carry another command
   */
  facts(ended: Refusal | undefined, awaiting: Stage, usable: boolean): TransactionFacts {
    const { final } = this;
    const early = final !== undefined && this.finalStage !== "final";
    if (final !== undefined && !early && isPositive(final)) {
      const recipients = this.#recipients();
      return { recipients, refusal: undefined, accepted: final, ambiguous: false, reuse: usable ? "yes" : "no", stale: false };
    }
    const closing = this.data === undefined ? this.rcpts.find((reply) => reply.code === 421) : undefined;
    const refusal = closing === undefined ? this.#refusal(ended) : { stage: "rcpt" as const, reply: closing };
    const clean =
      !early && (refusal === undefined || (refusal.reply !== undefined && refusal.reply.code >= 400 && refusal.reply.code !== 421));
    const lost = refusal?.reply?.code === 421 || refusal?.fault?.code === "RESET";
    return {
      recipients:
        this.mailAccepted && closing === undefined ? this.#recipients() : this.delivery.recipients.map((address) => ({ address })),
      refusal,
      accepted: undefined,
      ambiguous: final === undefined && awaiting === "final" && refusal?.reply === undefined,
      reuse: clean && usable ? "after-reset" : "no",
      stale: lost && !this.dataAccepted,
    };
  }

  /** RFC 5321 wants 354; some servers say 250. */
  get dataAccepted(): boolean {
    return this.data !== undefined && this.data.code >= 200 && this.data.code < 400;
  }

  #refusal(ended: Refusal | undefined): Refusal | undefined {
    const { final, mail, data } = this;
    if (final !== undefined) {
      return isPositive(final)
        ? faultAt("content", "PROTOCOL", `answered before the content had ended: ${formatReply(final).slice(0, 200)}`)
        : { stage: this.finalStage, reply: final };
    }
    if (mail !== undefined && !isPositive(mail)) return { stage: "mail", reply: mail };
    // Each recipient has its own refusal then.
    if (this.everyRcptAnswered && !this.someRcptAccepted) return undefined;
    return data !== undefined && !this.dataAccepted ? { stage: "data", reply: data } : ended;
  }

  #recipients(): RecipientFact[] {
    const { delivery, tried, rcpts } = this;
    let next = 0;
    return delivery.recipients.map((address) => {
      if (tried[next] !== address) return { address, refusal: whyUnnameable(address) };
      const reply = rcpts[next++];
      return reply === undefined || isPositive(reply) ? { address } : { address, refusal: { stage: "rcpt", reply } };
    });
  }
}

const BEYOND_ASCII = faultAt("rcpt", "NO_SMTPUTF8", "the server does not take addresses beyond ASCII");
const UNWRITABLE = faultAt("rcpt", "INVALID_ADDRESS", "an address cannot be written in a command");

/** Recipients that can be named to the server; when the sender cannot, why. */
export function nameable({ reversePath, recipients }: Delivery, smtpUtf8: boolean): readonly string[] | Refusal {
  if (reversePath !== "" && !isWritable(reversePath)) return { ...UNWRITABLE, stage: "mail" };
  if (!smtpUtf8 && isNonAscii(reversePath)) return { ...BEYOND_ASCII, stage: "mail" };
  return recipients.filter((one) => isWritable(one) && (smtpUtf8 || !isNonAscii(one)));
}

/** Facts of a message that was not offered at all; the connection stands as it stood. */
export function notOffered(delivery: Delivery, refusal: Refusal): TransactionFacts {
  const recipients = delivery.recipients.map((address) => ({ address }));
  return { recipients, refusal, accepted: undefined, ambiguous: false, reuse: "yes", stale: false };
}

/** The same, for the recipients' sake. */
export function noneNameable(delivery: Delivery): TransactionFacts {
  const recipients = delivery.recipients.map((address) => ({ address, refusal: whyUnnameable(address) }));
  return { recipients, refusal: undefined, accepted: undefined, ambiguous: false, reuse: "yes", stale: false };
}

/** Of a recipient that is not named to the server. */
function whyUnnameable(address: string): Refusal {
  return isWritable(address) ? BEYOND_ASCII : UNWRITABLE;
}

/** 2xx. */
function isPositive(reply: Reply): boolean {
  return reply.code >= 200 && reply.code < 300;
}
