/** Finds the next hop's own name for a message in its final reply. */
import type { Reply } from "../../mail/reply.ts";

/** Ids as the common servers print them after `queued as` (Postfix, Postern), `id=` (Exim) or `Message accepted for delivery` (Sendmail, in front). */
const QUEUED_AS = /\bqueued(?: mail for delivery)? as ([!-~]{1,128})/i;
const EXIM_ID = /\bid=([!-~]{1,128})/;
const SENDMAIL_ID = /^([A-Za-z0-9]{8,64}) Message accepted for delivery/;
const MESSAGE_ID = /<[^<>\s]{1,256}>/;
const EXCHANGE = /\[(?=[^\]]*\b(?:InternalId|Hostname)=)([^\]]{1,256})\]/;

/**
 * The id, or undefined where the reply tells none. For Exchange it is the Message-ID that recipients will see, and what the brackets hold:
 * `<AM0P…@…OUTLOOK.COM> InternalId=130184753713403 Hostname=…`.
 */
export function upstreamIdOf(reply: Reply): string | undefined {
  const { text } = reply;
  const exchange = EXCHANGE.exec(text);
  if (exchange !== null) {
    const id = MESSAGE_ID.exec(text)?.[0];
    const named = (exchange[1] ?? "").split(/[,\s]+/).filter((part) => part !== "");
    return [id, ...named].filter((part) => part !== undefined).join(" ");
  }
  const id = (QUEUED_AS.exec(text) ?? EXIM_ID.exec(text) ?? SENDMAIL_ID.exec(text))?.[1];
  return id?.replace(/[.,;)]+$/, "") ?? MESSAGE_ID.exec(text)?.[0];
}
