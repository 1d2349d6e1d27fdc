/** The SMTP host of Azure Communication Services: a resource signs in with an Entra app's secret, small limits, senders of verified domains. */
import { fromAddresses, judgeHeader } from "./content-rules.ts";
import type { ContentBuffer, ReceivedMessage } from "./mail-store.ts";
import { wordsOf } from "./refusal.ts";
import type { Refused } from "./refusal.ts";
import type { Attribution, HostNames, SessionContext, SessionRules, Transaction } from "./session-rules.ts";
import { SignIn, failure } from "./sign-in.ts";
import type { AuthFailure, Authenticator, Identity } from "./sign-in.ts";
import type { HostOptions } from "./host-options.ts";
import { domainOf } from "./smtp-syntax.ts";
import type { AcsResource, Tenant } from "./tenant.ts";

const SIZE_MAX = 10 * 1024 * 1024;
const RECIPIENTS_MAX = 50;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const NAMES: HostNames = {
  frontEnd: "acs-smtp-weu-01.azurecomm.net",
  bracket: "acs-smtp-weu-01.azurecomm.net",
  backEnd: "acs-smtp-weu-01.azurecomm.net",
};

interface AcsIdentity extends Identity {
  readonly resource: AcsResource;
}

/** Messages of each resource in the last hour, oldest first. */
export class AcsUsage {
  #sent = new Map<string, number[]>();

  /** Whether another message would be over the resource's rate. */
  isOver(resource: AcsResource, now: number): boolean {
    const sent = this.#ofHour(resource, now);
    const ofMinute = sent.filter((at) => at > now - MINUTE_MS).length;
    return ofMinute >= resource.limits.messagesPerMinute || sent.length >= resource.limits.messagesPerHour;
  }

  add(resource: AcsResource, now: number): void {
    this.#ofHour(resource, now).push(now);
  }

  #ofHour({ name }: AcsResource, now: number): number[] {
    const kept = (this.#sent.get(name) ?? []).filter((at) => at > now - HOUR_MS);
    this.#sent.set(name, kept);
    return kept;
  }
}

class AcsAuthenticator implements Authenticator<AcsIdentity> {
  readonly host = "acs";
  readonly mechanisms = ["LOGIN"] as const;
  #options: HostOptions;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  bearer(): AuthFailure {
    return failure("auth-unrecognized", "no tokens here");
  }

  password(user: string, password: string | undefined): AcsIdentity | AuthFailure {
    const { tenant, clock } = this.#options;
    const resource = findResource(tenant, user);
    if (typeof resource === "string") return failure("auth-unsuccessful", resource);
    const app = tenant.apps.find(({ clientId }) => clientId.toLowerCase() === user.split("|")[1]?.toLowerCase());
    if (app === undefined || app.disabled || !resource.apps.includes(app.clientId))
      return failure("auth-unsuccessful", "the app may not use this resource, or is disabled");
    const secret = app.secrets.find(({ value }) => value === password);
    if (secret === undefined || secret.expiresAt <= clock.now())
      return failure("auth-unsuccessful", "the client secret is wrong or has expired");
    return { address: resource.name, resource, method: "LOGIN" };
  }
}

/** The resource that `RESOURCE|APP ID|TENANT ID` names, or why there is none. */
function findResource(tenant: Tenant, user: string): AcsResource | string {
  const [name, , tenantId, ...rest] = user.split("|");
  if (tenantId === undefined || rest.length > 0) return "the user is not RESOURCE|APP ID|TENANT ID";
  if (tenantId.toLowerCase() !== tenant.id.toLowerCase()) return "the user names another tenant";
  return tenant.acsResources.find((resource) => resource.name.toLowerCase() === name?.toLowerCase()) ?? "there is no such resource";
}

/** Makes the rules of one session. */
export function acsRules(options: HostOptions, usage: AcsUsage, session: SessionContext): SessionRules {
  return new AcsRules(options, usage, session);
}

class AcsRules implements SessionRules {
  readonly host = "acs";
  readonly names = NAMES;
  #usage: AcsUsage;
  #signIn: SignIn<AcsIdentity>;

  constructor(options: HostOptions, usage: AcsUsage, session: SessionContext) {
    this.#usage = usage;
    this.#signIn = new SignIn(options, session, new AcsAuthenticator(options));
  }

  get mailbox(): string | undefined {
    return this.#signIn.identity?.address;
  }

  security(isSecure: boolean): string {
    return isSecure ? "AUTH LOGIN" : "STARTTLS";
  }

  async authenticate(mechanism: string, initial: string | undefined): Promise<void> {
    await this.#signIn.authenticate(mechanism, initial);
  }

  admit(): Refused | undefined {
    return this.#signIn.admit();
  }

  recipient(transaction: Transaction): Refused | undefined {
    return transaction.recipients.length >= RECIPIENTS_MAX ? wordsOf("too-many-recipients") : undefined;
  }

  judge({ reversePath }: Transaction, content: ContentBuffer, now: number): Refused | undefined {
    const { resource } = this.#signIn.identity as AcsIdentity;
    if (content.sizeBytes > SIZE_MAX) return wordsOf("fixed-size");
    const header = judgeHeader(content);
    if (header !== undefined) return header;
    const domains = resource.domains.map((domain) => domain.toLowerCase());
    if (![reversePath, ...fromAddresses(content)].every((address) => domains.includes(domainOf(address)))) return wordsOf("acs-sender");
    return this.#usage.isOver(resource, now) ? wordsOf("acs-rate") : undefined;
  }

  take(_transaction: Transaction, now: number): Attribution {
    const { resource, method } = this.#signIn.identity as AcsIdentity;
    this.#usage.add(resource, now);
    return { door: "acs", mailbox: resource.name, method, throttled: false, deliveredAt: now };
  }

  accepted(message: ReceivedMessage): string {
    return `250 2.0.0 OK ${message.upstreamId} [Hostname=${NAMES.backEnd}]`;
  }
}
