/** The MX host of Exchange Online Protection (port 25): Direct Send to the tenant's mailboxes, relay through connectors; nobody signs in. */
import { randomInt, randomUUID } from "node:crypto";
import type { X509Certificate } from "node:crypto";

import { attribute } from "./attribution.ts";
import type { Finding, Source } from "./attribution.ts";
import { checkClientCertificate } from "./client-certificate.ts";
import type { PresentedCertificate } from "./client-certificate.ts";
import { FIXED_SIZE_MAX, judgeHeader } from "./content-rules.ts";
import type { ContentBuffer, ReceivedMessage } from "./mail-store.ts";
import { BACK_END } from "./microsoft-names.ts";
import { wordsOf } from "./refusal.ts";
import type { Refused } from "./refusal.ts";
import type { Attribution, HostNames, SessionContext, SessionRules, Transaction } from "./session-rules.ts";
import type { HostOptions } from "./host-options.ts";
import { domainOf } from "./smtp-syntax.ts";
import { countForTenant, judgeTenant } from "./tenant-limits.ts";
import { findMailbox, isAcceptedDomain } from "./tenant.ts";

/** Recipients of one domain in one message, beyond which the host wants the message split. */
export const MX_RECIPIENTS_MAX = 200;

const NAMES: HostNames = {
  frontEnd: "DB5EUR03FT034.mail.protection.outlook.com",
  bracket: "DB5EUR03FT034.eop-EUR03.prod.protection.outlook.com",
  backEnd: BACK_END,
};

/** What the session needs besides: the certificate that came with the handshake, and whose authorities count. */
export interface MxInput {
  readonly peerCertificates: () => readonly X509Certificate[];
  readonly roots: () => readonly X509Certificate[];
}

/** Makes the rules of one session. */
export function mxRules(options: HostOptions, session: SessionContext, input: MxInput): SessionRules {
  return new MxRules(options, session, input);
}

class MxRules implements SessionRules {
  readonly host = "mx";
  readonly names = NAMES;
  readonly mailbox = undefined;
  #options: HostOptions;
  #session: SessionContext;
  #input: MxInput;
  #certificate: PresentedCertificate | undefined;
  /** When the content came, for the figures in the reply. */
  #transferStart = 0;

  constructor(options: HostOptions, session: SessionContext, input: MxInput) {
    this.#options = options;
    this.#session = session;
    this.#input = input;
  }

  security(isSecure: boolean): string | undefined {
    return isSecure ? undefined : "STARTTLS";
  }

  admit(): Refused | undefined {
    return undefined;
  }

  recipient(transaction: Transaction, address: string): Refused | undefined {
    this.#transferStart = this.#options.clock.monotonic();
    const finding = this.#attribute(transaction.reversePath);
    const inside = isAcceptedDomain(this.#options.tenant, domainOf(address));
    const refused = inside ? this.#judgeInside(finding, transaction, address) : this.#judgeOutside(finding, transaction);
    return refused ?? this.#judgeCount(transaction, address);
  }

  /** Mail to the outside is relay. */
  #judgeOutside(finding: Finding, transaction: Transaction): Refused | undefined {
    if (finding.mayRelay) return undefined;
    const { fault } = this.#presented();
    this.#tell(transaction, "relay-denied", fault ?? whyNoRelay(finding, transaction.reversePath));
    return wordsOf("relay-denied");
  }

  /** Mail to the tenant: from its own servers, from partners, from anybody. */
  #judgeInside(finding: Finding, transaction: Transaction, address: string): Refused | undefined {
    const { tenant, faults } = this.#options;
    if (tenant.licenses === 0) return wordsOf("no-subscription");
    const partner = this.#judgePartner(transaction.reversePath);
    if (partner !== undefined) return partner;
    const isAnonymous = finding.connector === undefined;
    if (
      tenant.rejectDirectSend &&
      isAnonymous &&
      transaction.reversePath !== "" &&
      isAcceptedDomain(tenant, domainOf(transaction.reversePath))
    ) {
      this.#tell(transaction, "direct-send-rejected", this.#presented().fault ?? "RejectDirectSend is on, and no connector matches");
      return wordsOf("direct-send-rejected");
    }
    if (isAnonymous && this.#session.helo.toLowerCase() === domainOf(address)) return wordsOf("bad-helo");
    if (tenant.edgeBlocking && findMailbox(tenant, address) === undefined && !this.#isHve(address) && !faults.isSpecial(address))
      return wordsOf("recipient-unknown");
    return undefined;
  }

  /** What a Partner connector demands of mail from the domains it is for. */
  #judgePartner(reversePath: string): Refused | undefined {
    const sender = domainOf(reversePath);
    const partners = this.#options.tenant.connectors.filter(
      ({ type, enabled, senderDomains }) =>
        enabled && type === "Partner" && senderDomains.some((domain) => domain.toLowerCase() === sender),
    );
    const source = this.#source(reversePath);
    for (const partner of partners) {
      if (partner.requireTls && !source.isSecure) return wordsOf("starttls-required");
      const own = attribute({ ...this.#options.tenant, connectors: [partner] }, source);
      if (partner.restrictDomainsToIpAddresses && own.connectorBy !== "address") return wordsOf("partner-address");
      if (partner.restrictDomainsToCertificate && own.connectorBy !== "certificate") return wordsOf("partner-certificate");
    }
    return undefined;
  }

  #judgeCount({ recipients }: Transaction, address: string): Refused | undefined {
    const domain = domainOf(address);
    if (recipients.filter((other) => domainOf(other) === domain).length >= MX_RECIPIENTS_MAX) return wordsOf("too-many-recipients");
    const [first] = recipients;
    const region = findMailbox(this.#options.tenant, address)?.region;
    const firstRegion = first === undefined ? undefined : findMailbox(this.#options.tenant, first)?.region;
    return region !== undefined && firstRegion !== undefined && region !== firstRegion ? wordsOf("multiple-regions") : undefined;
  }

  judge({ reversePath, recipients }: Transaction, content: ContentBuffer, now: number): Refused | undefined {
    const { tenant, usage } = this.#options;
    if (content.sizeBytes > FIXED_SIZE_MAX) return wordsOf("fixed-size");
    return judgeHeader(content) ?? judgeTenant(tenant, usage, reversePath, recipients, now);
  }

  take({ reversePath, recipients }: Transaction, now: number): Attribution {
    const { tenant, usage } = this.#options;
    const { connector, connectorBy } = this.#attribute(reversePath);
    countForTenant(tenant, usage, reversePath, recipients, now);
    return {
      door: connector?.type === "OnPremises" ? "connector" : "direct-send",
      mailbox: connector?.name ?? "",
      method: connectorBy ?? "none",
      throttled: false,
      deliveredAt: now,
    };
  }

  /** Our Message-ID is kept here; a message without one gets one. */
  accepted(message: ReceivedMessage): string {
    const id = message.messageId === "" ? `<${randomUUID()}@${NAMES.frontEnd}>` : message.messageId;
    const seconds = Math.max(0.001, (this.#options.clock.monotonic() - this.#transferStart) / 1000);
    const rate = message.sizeBytes / 1024 / seconds;
    const internalId = `${randomInt(10_000_000, 99_999_999)}${randomInt(1_000_000, 9_999_999)}`;
    return `250 2.6.0 ${id} [InternalId=${internalId}, Hostname=${NAMES.backEnd}] ${message.sizeBytes} bytes in ${seconds.toFixed(3)}, ${rate.toFixed(3)} KB/sec Queued mail for delivery`;
  }

  #isHve(address: string): boolean {
    return this.#options.tenant.hveAccounts.some((account) => account.address.toLowerCase() === address.toLowerCase());
  }

  #presented(): PresentedCertificate {
    if (this.#session.tlsVersion === undefined) return { names: [], fault: undefined, wasSent: false };
    // Checked once in a session, as the handshake is.
    this.#certificate ??= checkClientCertificate(this.#input.peerCertificates(), this.#input.roots(), this.#options.clock.now());
    return this.#certificate;
  }

  #source(reversePath: string): Source {
    const { remoteAddress: address, tlsVersion } = this.#session;
    return { certificate: this.#presented(), address, isSecure: tlsVersion !== undefined, reversePath };
  }

  #attribute(reversePath: string): Finding {
    return attribute(this.#options.tenant, this.#source(reversePath));
  }

  #tell({ reversePath }: Transaction, name: string, why: string): void {
    this.#options.emit({ type: "session.refused", session: this.#session.id, user: reversePath, reply: wordsOf(name).text, why });
  }
}

function whyNoRelay({ connector, by }: Finding, reversePath: string): string {
  if (connector === undefined) return "neither certificate nor address match a connector";
  if (connector.type === "Partner") return `the connector ${connector.name} is of type Partner`;
  if (by === undefined) return `neither the certificate's domain nor that of <${reversePath}> is an accepted domain`;
  return "the connector that matches is not of type OnPremises";
}
