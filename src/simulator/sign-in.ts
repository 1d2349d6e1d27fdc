/** Signing in with AUTH, the same on every host that has it: SASL exchange, tarpit, and the reason that MAIL repeats. */
import type { FaultHost } from "./fault-model.ts";
import { wordsOf } from "./refusal.ts";
import type { Refused } from "./refusal.ts";
import { decodeBase64, readXoauth2 } from "./sasl.ts";
import type { SessionContext } from "./session-rules.ts";
import type { HostOptions } from "./host-options.ts";

/** A failed sign-in: Microsoft's words for the client, the reason for the operator. */
export interface AuthFailure {
  readonly refused: Refused;
  readonly why: string;
  readonly close?: boolean;
}

/** Who signed in: at least an address, for view and faults. */
export interface Identity {
  readonly address: string;
  readonly method: "XOAUTH2" | "LOGIN";
}

/** How a host checks a credential. */
export interface Authenticator<T extends Identity> {
  readonly host: FaultHost;
  /** What EHLO offers. */
  readonly mechanisms: readonly ("LOGIN" | "XOAUTH2")[];
  bearer(user: string, token: string): T | AuthFailure;
  password(user: string, password: string | undefined): T | AuthFailure;
}

/** A refusal with its reason, as a failed sign-in. */
export function failure(name: string, why: string): AuthFailure {
  return { refused: wordsOf(name), why };
}

/** The sign-in of one session. */
export class SignIn<T extends Identity> {
  #options: HostOptions;
  #session: SessionContext;
  #authenticator: Authenticator<T>;
  #identity: T | undefined;
  /** Words of the last failed AUTH, which MAIL repeats. */
  #lastFailure: string | undefined;

  constructor(options: HostOptions, session: SessionContext, authenticator: Authenticator<T>) {
    this.#options = options;
    this.#session = session;
    this.#authenticator = authenticator;
  }

  get identity(): T | undefined {
    return this.#identity;
  }

  /** Whether MAIL may come: not before TLS and AUTH. */
  admit(): Refused | undefined {
    if (this.#session.tlsVersion === undefined) return wordsOf("starttls-required");
    if (this.#identity !== undefined) return undefined;
    const inner = this.#lastFailure === undefined ? "" : ` Error: ${this.#lastFailure}`;
    return { text: wordsOf("not-authenticated").text + inner, suffix: "session" };
  }

  /**
   * Carries AUTH out and answers it.
   *
   * @returns who signed in, when somebody did
   */
  async authenticate(mechanism: string, initial: string | undefined): Promise<T | undefined> {
    const known = this.#authenticator.mechanisms.find((one) => one === mechanism);
    if (known === undefined) return this.#session.error(wordsOf("auth-unrecognized").text) as undefined;
    if (this.#identity !== undefined) return this.#session.error("503 5.5.1 Bad sequence of commands") as undefined;
    const outcome = known === "XOAUTH2" ? await this.#xoauth2(initial) : await this.#login(initial);
    if (outcome === undefined) return undefined;
    if ("failure" in outcome) {
      await this.#fail(outcome.user, outcome.failure);
      return undefined;
    }
    this.#identity = outcome.identity;
    this.#lastFailure = undefined;
    const { address: mailbox, method } = outcome.identity;
    this.#options.emit({ type: "session.authenticated", session: this.#session.id, mailbox, method });
    this.#session.reply("235 2.7.0 Authentication successful");
    return outcome.identity;
  }

  async #fail(user: string, failed: AuthFailure): Promise<void> {
    this.#lastFailure = failed.refused.text;
    await this.#session.waitFor(this.#options.settings.tarpitMs);
    this.#options.emit({ type: "session.refused", session: this.#session.id, user, reply: failed.refused.text, why: failed.why });
    this.#session.refuse(failed.refused);
    if (failed.close === true) this.#session.close();
  }

  async #xoauth2(initial: string | undefined): Promise<Outcome<T> | undefined> {
    const response = initial ?? (await this.#session.challenge(""));
    if (response === undefined) return undefined;
    const credential = readXoauth2(response);
    if (credential === undefined) return { user: "", failure: failure("auth-proxy", "the credential is damaged or empty") };
    const { user, token } = credential;
    return outcomeOf(user, this.#forced(user) ?? this.#authenticator.bearer(user, token));
  }

  async #login(initial: string | undefined): Promise<Outcome<T> | undefined> {
    const encodedUser = initial ?? (await this.#session.challenge("VXNlcm5hbWU6"));
    if (encodedUser === undefined) return undefined;
    const encodedPassword = await this.#session.challenge("UGFzc3dvcmQ6");
    if (encodedPassword === undefined) return undefined;
    const user = decodeBase64(encodedUser) ?? "";
    return outcomeOf(user, this.#forced(user) ?? this.#authenticator.password(user, decodeBase64(encodedPassword)));
  }

  /** A fault that is switched on for AUTH, or TLS that is too old. */
  #forced(user: string): AuthFailure | undefined {
    const { tlsVersion } = this.#session;
    if (tlsVersion === "TLSv1" || tlsVersion === "TLSv1.1") return { ...failure("old-tls", "TLS is too old"), close: true };
    const fault = this.#options.faults.take("auth", { host: this.#authenticator.host, mailbox: user });
    const action = fault?.definition.action;
    if (action?.kind !== "reply") return undefined;
    return { refused: action, why: "a fault is switched on", close: action.close === true };
  }
}

type Outcome<T> = { readonly user: string; readonly failure: AuthFailure } | { readonly user: string; readonly identity: T };

function outcomeOf<T extends Identity>(user: string, result: T | AuthFailure): Outcome<T> {
  return "refused" in result ? { user, failure: result } : { user, identity: result };
}
