/** Why a way did not take a notice, and what helps: from the code that the network gave, or the status of HTTP. */

/** What is told of it. */
export interface Unreached {
  readonly cause: string;
  readonly remedy?: string | undefined;
}

const NAME = /^(?:ENOTFOUND|EAI_\w+)$/;
const CLOSED = /^(?:ECONNREFUSED|ECONNRESET|CLOSED|EPIPE)$/;
const NO_WAY = /^(?:TIMEOUT|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EACCES|EPERM)$/;
const TRUST = /CERT|SELF_SIGNED|UNABLE_TO|ALTNAME/;

/**
 * @param place - `host:port`, and nothing more of an address that may be a secret; undefined where there is none
 * @param key - of the configuration, which says where the other side is
 */
export function unreached(code: string, place: string | undefined, key: string): Unreached {
  return { cause: place === undefined ? code : `${code} (${place})`, remedy: remedyOf(code, place ?? "it", key) };
}

function remedyOf(code: string, place: string, key: string): string | undefined {
  if (NAME.test(code)) return `Correct the host in ${key}: the name servers of this machine do not know the name`;
  if (CLOSED.test(code)) return `Look whether the server runs and takes connections there; the address is in ${key}`;
  if (NO_WAY.test(code)) return `Let this machine out to ${place} in the firewall; the address is in ${key}`;
  if (TRUST.test(code))
    return `Its certificate is not valid for this name: correct the host in ${key}, or name its authority in network.ca`;
  if (code === "LOGGER_MISSING") return `Install the program logger (util-linux), or name a server in ${key} as udp://, tcp:// or tls://`;
  if (code === "LOGGER_FAILED") return `Look whether a syslog server listens on the socket that ${key} names`;
  return undefined;
}

/** An answer that is no yes. */
export function refusedBy(status: number, key: string, formatKey: string): Unreached {
  const cause = `HTTP ${status}`;
  if (status >= 300 && status < 400) return { cause, remedy: `Redirects are not followed: put the address that it leads to into ${key}` };
  if ([401, 403, 404, 410].includes(status))
    return { cause, remedy: `Nobody takes alerts at this address (any more): make a new one there for ${key}` };
  if (status >= 400 && status < 500 && status !== 429) return { cause, remedy: `Look whether ${formatKey} is what the receiver takes` };
  return { cause };
}
