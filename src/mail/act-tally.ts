/** What an operator's act came to: how much it changed, and the first of that by name. A whole queue is too long for an answer, or a line of the log. */

/** A recipient that an act changed. `lane` is the upstream that it waited for. */
export interface ActedOn {
  readonly queueId: string;
  readonly recipient: string;
  readonly lane: string;
}

/** Most recipients that an answer names. */
const MOST_NAMED = 1000;

/** Counts while the act goes on. Recipients of one message are to be told of one after the other. */
export class ActTally {
  readonly changed: ActedOn[] = [];
  recipients = 0;
  messages = 0;
  busy = 0;
  #last: string | undefined;

  add(acted: ActedOn): void {
    this.recipients += 1;
    if (acted.queueId !== this.#last) this.messages += 1;
    this.#last = acted.queueId;
    if (this.changed.length < MOST_NAMED) this.changed.push(acted);
  }

  get result(): { readonly changed: readonly ActedOn[]; readonly recipients: number; readonly messages: number; readonly busy: number } {
    const { changed, recipients, messages, busy } = this;
    return { changed, recipients, messages, busy };
  }
}
