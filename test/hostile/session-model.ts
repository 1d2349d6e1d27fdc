/**
 * What a session may answer and accept, written down apart from the product: the least that SMTP and the contract demand. Commands are known by
 * what they are, not by how they are written.
 */

/** A command of a sequence. `line` has no line end; DATA brings its content along. */
export interface Said {
  readonly line: string;
  readonly what:
    | "greet"
    | "mail"
    | "mail-refused"
    | "mail-fault"
    | "rcpt"
    | "rcpt-refused"
    | "rcpt-fault"
    | "data"
    | "rset"
    | "other"
    | "auth"
    | "unknown"
    | "not-implemented";
  /** Sender or recipient where it is taken. */
  readonly address?: string;
}

export interface ModelMessage {
  readonly sender: string;
  readonly recipients: readonly string[];
}

export class SessionModel {
  readonly accepted: ModelMessage[] = [];
  #sender: string | undefined;
  #recipients: string[] = [];
  #refused = false;

  /** @returns the reply code; for DATA of a transaction that may have it 354, and the content then gets 250 */
  say({ what, address = "" }: Said): number {
    switch (what) {
      case "greet":
      case "rset":
        this.#forget();
        return 250;
      case "mail":
        this.#forget();
        this.#sender = address;
        return 250;
      case "mail-refused":
        // The transaction before is over: a device that goes on must not add to it.
        this.#forget();
        return 550;
      case "mail-fault":
      case "rcpt-fault":
        return 501;
      case "rcpt":
        if (this.#sender === undefined) return 503;
        if (!this.#recipients.includes(address)) this.#recipients.push(address);
        return 250;
      case "rcpt-refused":
        if (this.#sender === undefined) return 503;
        this.#refused = true;
        return 550;
      case "data":
        if (this.#sender === undefined) return 503;
        if (this.#recipients.length === 0) return this.#refused ? 554 : 503;
        this.accepted.push({ sender: this.#sender, recipients: this.#recipients });
        this.#forget();
        return 354;
      case "auth":
        return this.#sender === undefined ? 235 : 503;
      case "other":
        return 0; // any of 2xx
      case "unknown":
        return 500;
      case "not-implemented":
        return 502;
      default:
        return what satisfies never;
    }
  }

  #forget(): void {
    this.#sender = undefined;
    this.#recipients = [];
    this.#refused = false;
  }
}
