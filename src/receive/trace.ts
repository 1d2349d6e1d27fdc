/** The lines every relay adds: Received (RFC 5321 §4.4), and dates as RFC 5322 §3.3 writes them. */

/** Formats times in one time zone. The last second is kept: a busy second needs one formatting. */
export class MailDate {
  readonly #timeZone: string | undefined;
  /** Made for the first mail: it takes 8 MB. */
  #format: Intl.DateTimeFormat | undefined;
  #second = -1;
  #text = "";

  /** @param timeZone - IANA name; undefined for the system's */
  constructor(timeZone: string | undefined) {
    this.#timeZone = timeZone;
  }

  /** @param at - ms since the epoch; the result looks like `Mon, 5 Jan 2026 10:00:00 +0100` */
  format(at: number): string {
    const second = Math.floor(at / 1000);
    if (second === this.#second) return this.#text;
    this.#format ??= dateFormat(this.#timeZone);
    const parts = new Map(this.#format.formatToParts(at).map(({ type, value }) => [type, value]));
    const get = (type: Intl.DateTimeFormatPartTypes): string => parts.get(type) ?? "";
    const offset = /GMT(?:([+-])(\d\d):(\d\d))?/.exec(get("timeZoneName"));
    const zone = offset?.[1] === undefined ? "+0000" : `${offset[1]}${offset[2]}${offset[3]}`;
    this.#second = second;
    this.#text = `${get("weekday")}, ${get("day")} ${get("month")} ${get("year")} ${get("hour")}:${get("minute")}:${get("second")} ${zone}`;
    return this.#text;
  }
}

function dateFormat(timeZone: string | undefined): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat("en-US", {
    ...(timeZone === undefined ? {} : { timeZone }),
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
    timeZoneName: "longOffset",
  });
}

/** What a Received line tells. */
export interface TraceFacts {
  readonly helo: string | undefined;
  readonly device: string;
  readonly hostname: string;
  readonly queueId: string;
  /** True once the client said EHLO. */
  readonly extended: boolean;
  readonly tls: { readonly protocol: string; readonly cipher: string } | undefined;
  /** Somebody signed in. */
  readonly authenticated: boolean;
  readonly date: string;
}

/** One folded Received field with its line end. The HELO name is reduced to what the grammar allows; it proves nothing anyway. */
export function receivedField(facts: TraceFacts): string {
  const name = facts.helo === undefined || facts.helo === "" ? "unknown" : facts.helo.slice(0, 255).replace(/[^A-Za-z0-9._:[\]-]/g, "?");
  const literal = facts.device.includes(":") ? `IPv6:${facts.device}` : facts.device;
  // RFC 3848 names the forms.
  const protocol = `${facts.extended ? "ESMTP" : "SMTP"}${facts.tls === undefined ? "" : "S"}${facts.authenticated && facts.extended ? "A" : ""}`;
  const cipher = facts.tls === undefined ? "" : `\r\n\t(version=${facts.tls.protocol} cipher=${facts.tls.cipher})`;
  return `Received: from ${name} ([${literal}])${cipher}\r\n\tby ${facts.hostname} (Postern) with ${protocol} id ${facts.queueId};\r\n\t${facts.date}\r\n`;
}
