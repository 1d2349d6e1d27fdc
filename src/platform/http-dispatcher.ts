/** How HTTP requests get out: through a proxy or not, from which address, trusting whom. Load it when it is needed: undici is large. */
import { Agent, Client, ProxyAgent } from "undici";
import type { Dispatcher } from "undici";
import { trusting } from "./trust.ts";

export interface DispatcherOptions {
  /** Further root certificates, PEM. */
  readonly ca: readonly string[];
  /** URL of an HTTP proxy. */
  readonly proxy?: string | undefined;
  /** Local address to connect from. */
  readonly sourceAddress?: string | undefined;
  /** For connecting, for the head of an answer, and between pieces of its body. */
  readonly timeoutMs: number;
}

/** Connections to an endpoint, through the proxy where there is one. The certificate is the endpoint's own in either case. */
export function httpDispatcher({ proxy, ca, sourceAddress, timeoutMs: timeout }: DispatcherOptions): Dispatcher {
  // Among the options of `connect` undici would overlook it.
  const local = sourceAddress === undefined ? {} : { localAddress: sourceAddress };
  const security = { timeout, secureContext: trusting(ca) };
  const limits = { pipelining: 0, headersTimeout: timeout, bodyTimeout: timeout };
  if (proxy === undefined) return new Agent({ ...limits, ...local, connect: security });
  return new ProxyAgent({
    ...limits,
    uri: proxy,
    connectTimeout: timeout,
    requestTls: security,
    proxyTls: security,
    clientFactory: (origin, options) => new Client(origin, { ...options, ...local }),
  });
}
