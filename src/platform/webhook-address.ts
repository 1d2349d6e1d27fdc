/** Which URLs alerts may be posted to. */
import { isIP } from "node:net";

/** https, or http to this machine: alerts name people and addresses, and the URL itself is often a secret. */
export function isWebhookAddress(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "https:") return true;
  if (url?.protocol !== "http:") return false;
  const { hostname } = url;
  return hostname === "localhost" || hostname === "[::1]" || (isIP(hostname) === 4 && hostname.startsWith("127."));
}
