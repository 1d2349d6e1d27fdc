/** Tells a webhook of alerts: one request for each notice, which does not depend on mail. */
import { PosternError } from "../../mail/errors.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Carried, Owed } from "./alert.ts";
import { bodyOf, signatureOf } from "./formats.ts";
import type { WebhookFormat } from "./formats.ts";
import type { Carrier } from "./outbox.ts";
import type { Post } from "./post.ts";

/** Answers to a body as such: the next one may be taken. */
const REFUSED_BODY: ReadonlySet<number> = new Set([400, 413, 415, 422]);

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
    return { taken: false, cause: fault ?? `HTTP ${status}`, refused: REFUSED_BODY.has(status) };
  } catch (error) {
    // Faults of the references name where the secret should be, never what it is.
    return { taken: false, cause: error instanceof PosternError ? error.message : "FAILED" };
  }
}
