/** The submission host of Exchange Online (port 587): who may sign in, who may send as whom, limits of the mailbox. */
import { FIXED_SIZE_MAX, fromAddresses, judgeHeader } from "./content-rules.ts";
import type { ContentBuffer, ReceivedMessage } from "./mail-store.ts";
import type { MailboxUsage } from "./mailbox-usage.ts";
import { BACK_END, FRONT_END, FRONT_END_PROD } from "./microsoft-names.ts";
import { wordsOf } from "./refusal.ts";
import type { Refused } from "./refusal.ts";
import type { Attribution, HostNames, SessionContext, SessionRules, Transaction } from "./session-rules.ts";
import { SignIn, failure } from "./sign-in.ts";
import type { AuthFailure, Authenticator, Identity } from "./sign-in.ts";
import type { HostOptions } from "./host-options.ts";
import { countForTenant, judgeTenant } from "./tenant-limits.ts";
import { findMailbox, hasRole, mayOpen, maySendAs, smtpAuthState } from "./tenant.ts";
import type { TenantApp, TenantMailbox } from "./tenant.ts";
import type { VerifiedToken } from "./token-issuer.ts";

/** How the submission host shows itself. */
export const SUBMISSION_NAMES: HostNames = { frontEnd: FRONT_END, bracket: FRONT_END_PROD, backEnd: BACK_END };

interface MailboxIdentity extends Identity {
  readonly mailbox: TenantMailbox;
  /** False: signed in, but the app may not open the mailbox. */
  readonly hasAccess: boolean;
}

/** Checks credentials against the tenant's mailboxes. */
class MailboxAuthenticator implements Authenticator<MailboxIdentity> {
  readonly host = "submission";
  readonly mechanisms = ["LOGIN", "XOAUTH2"] as const;
  #options: HostOptions;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  bearer(user: string, token: string): MailboxIdentity | AuthFailure {
    const { tenant, issuer } = this.#options;
    const verified = issuer.verify(token);
    if ("why" in verified) return failure("auth-unsuccessful", verified.why);
    const app = tenant.apps.find((candidate) => candidate.clientId === verified.clientId);
    if (app === undefined || app.disabled) return failure("auth-unsuccessful", "the app has no service principal, or it is disabled");
    const mailbox = findMailbox(tenant, user);
    if (mailbox === undefined) return failure("auth-unsuccessful", "there is no such mailbox");
    const right = rightToSubmit(verified, app, mailbox);
    if ("why" in right) return failure("auth-unsuccessful", right.why);
    return this.#closedFor(mailbox) ?? { address: mailbox.address, mailbox, method: "XOAUTH2", hasAccess: right.hasAccess };
  }

  password(user: string, password: string | undefined): MailboxIdentity | AuthFailure {
    const mailbox = findMailbox(this.#options.tenant, user);
    if (mailbox === undefined) return failure("wrong-password", "there is no such mailbox");
    if (mailbox.basicAuth === "retired") return failure("basic-auth-retired", "passwords are retired");
    const closed = this.#closedFor(mailbox);
    if (closed !== undefined) return closed;
    if (mailbox.basicAuth === "off") return failure("basic-auth-off", "passwords are off for the mailbox");
    if (mailbox.password === undefined || password !== mailbox.password) return failure("wrong-password", "wrong password");
    return { address: mailbox.address, mailbox, method: "LOGIN", hasAccess: true };
  }

  #closedFor(mailbox: TenantMailbox): AuthFailure | undefined {
    const state = smtpAuthState(this.#options.tenant, mailbox);
    if (state === "open") return undefined;
    return failure(state === "off for the mailbox" ? "smtp-auth-off-mailbox" : "smtp-auth-off-tenant", `SMTP AUTH is ${state}`);
  }
}

/** Whether a token opens a mailbox for SMTP, and whether the mailbox then lets it in. */
function rightToSubmit(token: VerifiedToken, app: TenantApp, mailbox: TenantMailbox): { hasAccess: boolean } | { why: string } {
  if (token.user !== undefined) {
    if (!token.scopes.includes("SMTP.Send")) return { why: "the token has no scope SMTP.Send" };
    return { hasAccess: mayOpen(mailbox, token.user) };
  }
  // With the role in the token the mailbox's own permissions count, even where a role assignment would do.
  if (token.roles.includes("SMTP.SendAsApp")) return { hasAccess: mailbox.fullAccess.includes(app.clientId) };
  if (!app.roleAssignments.some((assignment) => assignment.role === "Application SMTP.SendAsApp"))
    return { why: "the token has no role SMTP.SendAsApp" };
  return { hasAccess: hasRole(app, "Application SMTP.SendAsApp", mailbox) };
}

/** Makes the rules of one session. */
export function submissionRules(options: HostOptions, session: SessionContext): SessionRules {
  return new SubmissionRules(options, session);
}

class SubmissionRules implements SessionRules {
  readonly host = "submission";
  readonly names = SUBMISSION_NAMES;
  #options: HostOptions;
  #session: SessionContext;
  #signIn: SignIn<MailboxIdentity>;

  constructor(options: HostOptions, session: SessionContext) {
    this.#options = options;
    this.#session = session;
    this.#signIn = new SignIn(options, session, new MailboxAuthenticator(options));
  }

  get mailbox(): string | undefined {
    return this.#signIn.identity?.mailbox.address;
  }

  security(isSecure: boolean): string {
    return isSecure ? "AUTH LOGIN XOAUTH2" : "STARTTLS";
  }

  async authenticate(mechanism: string, initial: string | undefined): Promise<void> {
    const identity = await this.#signIn.authenticate(mechanism, initial);
    if (identity === undefined) return;
    const usage = this.#options.usage.of(identity.mailbox);
    usage.opened(this.#session.id);
    this.#session.onClose(() => usage.closed(this.#session.id));
  }

  admit(): Refused | undefined {
    return this.#signIn.admit();
  }

  recipient(transaction: Transaction): Refused | undefined {
    const { limits } = this.#identity().mailbox;
    return transaction.recipients.length >= limits.recipientsPerMessage ? wordsOf("too-many-recipients") : undefined;
  }

  judge({ reversePath, recipients }: Transaction, content: ContentBuffer, now: number): Refused | undefined {
    const { tenant, usage } = this.#options;
    const { mailbox } = this.#identity();
    return (
      this.#judgeMailbox(recipients.length, content, now) ??
      judgeHeader(content) ??
      judgeSender(mailbox, reversePath, content) ??
      judgeTenant(tenant, usage, reversePath, recipients, now)
    );
  }

  #judgeMailbox(recipients: number, content: ContentBuffer, now: number): Refused | undefined {
    const { mailbox, hasAccess } = this.#identity();
    const { limits } = mailbox;
    const usage = this.#usage();
    if (!hasAccess) return wordsOf("logon-failure");
    if (usage.isOverConnections(this.#session.id, limits)) return wordsOf("concurrent-connections");
    if (this.#options.settings.overRate === "refuse" && usage.nextSlot(now, limits) > now) {
      usage.throttled += 1;
      return wordsOf("thread-limit");
    }
    if (usage.recipientsOfDay(now) + recipients > limits.recipientsPerDay) return wordsOf("submission-quota");
    if (content.sizeBytes > FIXED_SIZE_MAX) return wordsOf("fixed-size");
    return content.sizeBytes > limits.maxSendSizeBytes ? wordsOf("send-size") : undefined;
  }

  take({ reversePath, recipients }: Transaction, now: number): Attribution {
    const { tenant, usage: book, settings } = this.#options;
    const { mailbox, method } = this.#identity();
    const usage = this.#usage();
    const slot = usage.nextSlot(now, mailbox.limits);
    const throttled = slot > now;
    if (throttled) usage.throttled += 1;
    usage.count(now, slot, recipients.length, mailbox.limits);
    countForTenant(tenant, book, reversePath, recipients, now);
    return {
      door: "submission",
      mailbox: mailbox.address,
      method,
      throttled,
      deliveredAt: settings.overRate === "delay" ? slot : now,
      inSentItems: mailbox.keepsSubmissionCopies,
    };
  }

  accepted(message: ReceivedMessage): string {
    return `250 2.0.0 OK ${message.upstreamId} [Hostname=${BACK_END}]`;
  }

  #usage(): MailboxUsage {
    return this.#options.usage.of(this.#identity().mailbox);
  }

  /** Only reached after `admit` let MAIL pass. */
  #identity(): MailboxIdentity {
    return this.#signIn.identity as MailboxIdentity;
  }
}

function judgeSender(mailbox: TenantMailbox, reversePath: string, content: ContentBuffer): Refused | undefined {
  const denied = [reversePath, ...fromAddresses(content)].find((address) => !maySendAs(mailbox, address));
  if (denied === undefined) return undefined;
  return wordsOf("send-as-denied", { mailbox: mailbox.address, from: denied === "" ? "<>" : denied });
}
