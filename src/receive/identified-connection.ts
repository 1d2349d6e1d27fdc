/**
 * Who is on the other side of a connection: the client that its address belongs to, or the one of the user who signed in. AUTH is answered here,
 * the rest of the dialogue is the session's.
 */
import type { Socket } from "node:net";
import { beginAuth } from "./auth-exchange.ts";
import type { AuthStep } from "./auth-exchange.ts";
import { Connection } from "./connection.ts";
import type { ConnectionOwner, Peer, SessionServer } from "./connection.ts";
import type { SignIn } from "./directory.ts";
import type { ClientOptions, SessionContext } from "./options.ts";
import { quirksOf } from "./quirks.ts";
import type { Quirks } from "./quirks.ts";
import { notAllowed, REPLIES } from "./replies.ts";
import type { Credentials } from "./sign-in.ts";

/** A connection that knows whose rules hold. */
export abstract class IdentifiedConnection extends Connection {
  #client: ClientOptions | undefined;
  #user: string | undefined;
  #quirks: Quirks;
  #triedAuth = false;
  #failures = 0;
  /** Takes the next line as an answer; true when `done` is called by somebody else. */
  protected prompt: ((line: string, done: () => void) => boolean) | undefined;

  constructor(server: SessionServer, socket: Socket, peer: Peer, owner: ConnectionOwner, context: SessionContext) {
    super(server, socket, peer, owner, context);
    this.#client = peer.standing.client;
    this.#quirks = quirksOf(context.listener.quirks, peer.standing.owner?.quirks);
  }

  /** A mail transaction has begun: no time to sign in. */
  protected abstract readonly inTransaction: boolean;
  /** Goes on with commands after a wait of ours. */
  protected abstract resume(done: () => void): void;

  protected get client(): ClientOptions | undefined {
    return this.#client;
  }

  /** Who signed in. */
  protected get user(): string | undefined {
    return this.#user;
  }

  protected get quirks(): Quirks {
    return this.#quirks;
  }

  protected get triedAuth(): boolean {
    return this.#triedAuth;
  }

  /** Who signed in before TLS did so in clear: it counts no more (RFC 3207 §4.2). */
  protected secured(): void {
    const { client, owner } = this.peer.standing;
    this.prompt = undefined;
    this.#user = undefined;
    this.#client = client;
    this.#quirks = quirksOf(this.context.listener.quirks, owner?.quirks);
    this.context = this.context.of(owner);
  }

  /** AUTH is worth offering: users may sign in here, or devices of this client insist on being asked. */
  protected get offersAuth(): boolean {
    const usersMay = (this.context.listener.auth ?? "none") !== "none" && this.#passwordsMayPass;
    return usersMay || (this.#quirks.auth === "offer" && this.#client !== undefined);
  }

  /** Passwords are not readable on the wire, or the listener says that they may be. */
  get #passwordsMayPass(): boolean {
    return this.tls !== undefined || this.context.listener.authWithoutTls === true;
  }

  /** What signing in means here; undefined where credentials are not looked at. */
  get #signInHere(): SignIn | undefined {
    return this.#passwordsMayPass ? this.peer.standing.signIn : undefined;
  }

  /** MAIL before a client is known. */
  protected refuseUnknown(): undefined {
    if (this.peer.standing.signIn === undefined) {
      const { hostname } = this.context.options;
      const remedy = "a balancer may look whether the relay lives, and send nothing itself";
      this.refuse("unlisted", notAllowed(hostname, this.peer.device), undefined, remedy);
      return undefined;
    }
    const tlsFirst = !this.#passwordsMayPass;
    this.refuse(
      tlsFirst ? "tls-required" : "auth-required",
      tlsFirst ? REPLIES.tlsRequired : REPLIES.authRequired,
      undefined,
      "the device has to sign in with a user of the configuration, or its address has to belong to a client without users",
    );
    return undefined;
  }

  /**
   * Devices that are admitted by their address and insist on a password get their 235: what they send is neither kept nor looked at. Where users
   * sign in, credentials are checked.
   */
  protected auth(mechanism: string, initial: string | undefined, done: () => void): boolean {
    this.#triedAuth = true;
    if (this.peer.admission === "health") {
      this.refuse("syntax", REPLIES.notImplemented, "AUTH");
      return false;
    }
    if (this.inTransaction || this.#user !== undefined) {
      this.refuse("order", this.#user === undefined ? REPLIES.inTransaction : REPLIES.authDone, "AUTH");
      return false;
    }
    if (this.peer.standing.signIn?.needed === true && !this.#passwordsMayPass) {
      this.refuse("tls-required", REPLIES.tlsRequired, "AUTH");
      return false;
    }
    return this.#authStep(beginAuth(mechanism, initial), mechanism, done);
  }

  #authStep(step: AuthStep, mechanism: string, done: () => void): boolean {
    switch (step.kind) {
      case "prompt":
        this.prompt = (line, next) => this.#authStep(step.next(line), mechanism, next);
        this.reply(step.reply);
        return false;
      case "ended":
        if (step.fault) this.refuse("auth", step.reply, mechanism);
        else this.reply(step.reply);
        return false;
      case "credentials":
        return this.#credentials(step.credentials, mechanism, done);
      default:
        step satisfies never;
        return false;
    }
  }

  #credentials(credentials: Credentials | undefined, mechanism: string, done: () => void): boolean {
    const signIn = this.#signInHere;
    const { signIns } = this.context;
    const known = credentials !== undefined && signIns.isUser(credentials.user);
    if (signIn === undefined || (!signIn.needed && (!known || signIn.clientOf(credentials.user) === undefined))) {
      this.reply(REPLIES.authenticated);
      return false;
    }
    if (credentials === undefined) {
      this.refuse("auth", REPLIES.authSyntax, mechanism);
      return false;
    }
    void this.#signIn(credentials, known, signIn.clientOf(credentials.user), mechanism, done);
    return true;
  }

  /** Waits for the check of a password; the idle time-out waits too. Never rejects. */
  async #signIn(
    credentials: Credentials,
    known: boolean,
    client: ClientOptions | undefined,
    mechanism: string,
    done: () => void,
  ): Promise<void> {
    const { options, listener, signIns, limits } = this.context;
    const { device } = this.peer;
    this._handlerPending = true;
    const result = await signIns.attempt(this.peer.group, credentials, client !== undefined);
    this._handlerPending = false;
    const about = { session: this.id, listener: listener.name, device, mechanism };
    const user = known ? credentials.user : undefined;
    const gone = this._closing || this._closed;
    if (result === "right" && client !== undefined) {
      if (gone) return done();
      this.#user = credentials.user;
      this.#client = client;
      this.#quirks = quirksOf(listener.quirks, client.quirks);
      this.context = this.context.of(client);
      options.emit({ type: "session.auth.succeeded", ...about, user: credentials.user, client: client.name });
      this.reply(REPLIES.authenticated);
    } else {
      this.#failures += result === "wrong" ? 1 : 0;
      const last = this.#failures >= limits.authFailures;
      const reply = result === "busy" ? REPLIES.authBusy : REPLIES.authFailed;
      const { cause, remedy } = this.#whyNot(result === "busy", user, client);
      options.emit({ type: "session.auth.failed", ...about, user, cause, remedy, failures: signIns.failures(this.peer.group), reply });
      if (gone) return done();
      this.reply(reply);
      if (last) this.hangUp(REPLIES.tooManyAuthFailures);
    }
    this.resume(done);
  }

  #whyNot(busy: boolean, user: string | undefined, client: ClientOptions | undefined): { cause: string; remedy?: string } {
    if (busy) return { cause: "too many sign-ins wait, or the password could not be checked" };
    if (user === undefined) return { cause: "no such user", remedy: "correct the user name in the device, or add it to users" };
    if (client === undefined)
      return {
        cause: "this user may not come from this address",
        remedy: `list user ${user} under the users of a client that has this address`,
      };
    return {
      cause: "wrong password",
      remedy: `correct it in the device, or make a new hash with postern hash-password and put it under users.${user}`,
    };
  }
}
