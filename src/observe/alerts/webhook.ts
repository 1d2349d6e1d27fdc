/** Tells a webhook of alerts: one request for each notice, which does not depend on mail. */
import { PosternError } from "../../mail/errors.ts";
import type { Clock } from "../../platform/clock.ts";
import { isWebhookAddress } from "../../platform/webhook-address.ts";
import type { Carried, Owed } from "./alert.ts";
import { bodyOf, signatureOf } from "./formats.ts";
import type { WebhookFormat } from "./formats.ts";
import type { Carrier } from "./outbox.ts";
import type { Post } from "./post.ts";
import { refusedBy, unreached } from "./unreached.ts";

/** Answers to a body as such: the next one may be taken. */
const REFUSED_BODY: ReadonlySet<number> = new Set([400, 413, 415, 422]);

const KEY = "alerts.webhook.url";

/** Host and port. The rest of the address is a secret, and so is all of one that is not an address. */
function placeOf(address: string): string | undefined {
  if (!isWebhookAddress(address)) return undefined;
  const { hostname, port, protocol } = new URL(address);
  return `${hostname}:${port === "" ? (protocol === "https:" ? "443" : "80") : port}`;
}

export interface WebhookOptions {
  /** Read anew for each attempt. @throws PosternError E_SECRET */
  readonly url: () => Promise<string>;
  /** Signs the requests; undefined: they are not signed. */
  readonly secret: (() => Promise<string>) | undefined;
  readonly format: WebhookFormat;
  readonly hostname: string;
  readonly post: Post;
  readonly clock: Clock;
}

export function webhookCarrier(options: WebhookOptions): Carrier {
  return { carry: async ([owed]) => (owed === undefined ? { taken: true } : await post(owed, options)) };
}

async function post({ id, notice }: Owed, { url, secret, format, hostname, post: send, clock }: WebhookOptions): Promise<Carried> {
  try {
    const [address, key] = await Promise.all([url(), secret?.()]);
    const body = bodyOf(format, notice, hostname);
    const headers = { "x-postern-id": id, ...(key === undefined ? {} : signatureOf(key, body, clock.now())) };
    const { status, fault } = await send(address.trim(), headers, body);
    if (status >= 200 && status < 300) return { taken: true, note: `HTTP ${status}` };
    const why = fault === undefined ? refusedBy(status, KEY, "alerts.webhook.format") : unreached(fault, placeOf(address.trim()), KEY);
    return { taken: false, ...why, refused: REFUSED_BODY.has(status) };
  } catch (error) {
    // Faults of the references name where the secret should be, never what it is.
    return { taken: false, cause: error instanceof PosternError ? error.message : "FAILED" };
  }
}
