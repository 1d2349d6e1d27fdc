/** The host of High Volume Email: accounts of its own, by password or token, for recipients inside the tenant only. */
import { fromAddresses, judgeHeader } from "./content-rules.ts";
import type { ContentBuffer, ReceivedMessage } from "./mail-store.ts";
import { wordsOf } from "./refusal.ts";
import type { Refused } from "./refusal.ts";
import type { Attribution, HostNames, SessionContext, SessionRules, Transaction } from "./session-rules.ts";
import { SignIn, failure } from "./sign-in.ts";
import type { AuthFailure, Authenticator, Identity } from "./sign-in.ts";
import type { HostOptions } from "./host-options.ts";
import { isInside } from "./tenant.ts";
import type { HveAccount } from "./tenant.ts";

export const HVE_RECIPIENTS_MAX = 50;
/** Of the preview; since then no figure was published. */
const SIZE_MAX = 10 * 1024 * 1024;

const NAMES: HostNames = {
  frontEnd: "DU2PR04CA0112.hve.mx.microsoft",
  bracket: "DU2PR04CA0112.EURPRD04.PROD.OUTLOOK.COM",
  backEnd: "DB9PR04MB8459.EURPRD04.PROD.OUTLOOK.COM",
};

interface HveIdentity extends Identity {
  readonly account: HveAccount;
}

class HveAuthenticator implements Authenticator<HveIdentity> {
  readonly host = "hve";
  readonly mechanisms = ["LOGIN", "XOAUTH2"] as const;
  #options: HostOptions;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  #account(user: string): HveAccount | undefined {
    return this.#options.tenant.hveAccounts.find(({ address }) => address.toLowerCase() === user.toLowerCase());
  }

  bearer(user: string, token: string): HveIdentity | AuthFailure {
    const account = this.#account(user);
    if (account === undefined) return failure("auth-user-invalid", "there is no such High Volume Email account");
    const verified = this.#options.issuer.verify(token);
    if ("why" in verified) return failure("auth-unsuccessful", verified.why);
    // Not SMTP.SendAsApp: that one is for mailboxes.
    if (!verified.roles.includes("Mail.Send")) return failure("auth-unsuccessful", "the token has no role Mail.Send");
    if (!account.apps.includes(verified.clientId)) return failure("auth-unsuccessful", "the app is not among those of the account");
    return { address: account.address, account, method: "XOAUTH2" };
  }

  password(user: string, password: string | undefined): HveIdentity | AuthFailure {
    const account = this.#account(user);
    if (account === undefined) return failure("wrong-password", "there is no such High Volume Email account");
    if (account.basicAuth === "off") return failure("organization-policy", "the account's policy forbids passwords");
    if (account.password === undefined || password !== account.password) return failure("wrong-password", "wrong password");
    return { address: account.address, account, method: "LOGIN" };
  }
}

/** Makes the rules of one session. */
export function hveRules(options: HostOptions, session: SessionContext): SessionRules {
  return new HveRules(options, session);
}

class HveRules implements SessionRules {
  readonly host = "hve";
  readonly names = NAMES;
  #options: HostOptions;
  #signIn: SignIn<HveIdentity>;

  constructor(options: HostOptions, session: SessionContext) {
    this.#options = options;
    this.#signIn = new SignIn(options, session, new HveAuthenticator(options));
  }

  get mailbox(): string | undefined {
    return this.#signIn.identity?.address;
  }

  security(isSecure: boolean): string {
    return isSecure ? "AUTH LOGIN XOAUTH2" : "STARTTLS";
  }

  async authenticate(mechanism: string, initial: string | undefined): Promise<void> {
    await this.#signIn.authenticate(mechanism, initial);
  }

  admit(): Refused | undefined {
    return this.#signIn.admit();
  }

  recipient(transaction: Transaction, address: string): Refused | undefined {
    if (!isInside(this.#options.tenant, address)) return wordsOf("external-refused");
    return transaction.recipients.length >= HVE_RECIPIENTS_MAX ? wordsOf("too-many-recipients") : undefined;
  }

  judge({ reversePath }: Transaction, content: ContentBuffer): Refused | undefined {
    if (content.sizeBytes > SIZE_MAX) return wordsOf("fixed-size");
    const own = this.mailbox ?? "";
    const denied = [reversePath, ...fromAddresses(content)].find((address) => address.toLowerCase() !== own.toLowerCase());
    return (
      judgeHeader(content) ??
      (denied === undefined ? undefined : wordsOf("send-as-denied", { mailbox: own, from: denied === "" ? "<>" : denied }))
    );
  }

  take(_transaction: Transaction, now: number): Attribution {
    const method = this.#signIn.identity?.method ?? "none";
    return { door: "hve", mailbox: this.mailbox ?? "", method, throttled: false, deliveredAt: now };
  }

  accepted(message: ReceivedMessage): string {
    return `250 2.0.0 OK ${message.upstreamId} [Hostname=${NAMES.backEnd}]`;
  }
}
