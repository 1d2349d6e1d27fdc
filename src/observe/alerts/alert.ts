/** What an alert is: something that needs a person, told once when it begins and once when it is over. */

/** `critical`: mail stops or is in danger now. `warning`: it will, or some of it does. `info`: there is time. */
export const SEVERITIES = ["info", "warning", "critical"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** What is the matter, as whoever noticed says it. The same `alert` and `subject` are the same alert. */
export interface Condition {
  /** Its kind, one of `ALERTS`. */
  readonly alert: string;
  /** What it is about: the name of an upstream, a queue id, a sender. */
  readonly subject: string;
  readonly text: string;
  readonly remedy?: string | undefined;
  /** Default: that of its kind. */
  readonly severity?: Severity | undefined;
}

/** An alert that is open. Times in ms since the epoch. */
export interface OpenAlert {
  readonly alert: string;
  readonly subject: string;
  readonly text: string;
  readonly remedy?: string | undefined;
  readonly severity: Severity;
  readonly since: number;
  /** When people were last told: raised, raised to a higher severity, or repeated. */
  readonly toldAt: number;
  /** When it was last met. */
  readonly metAt: number;
}

/** What people are told. */
export interface Notice {
  readonly state: "raised" | "repeated" | "cleared";
  readonly alert: OpenAlert;
  /** ms since the epoch. */
  readonly at: number;
}

/** Ways of telling people besides the log. */
export const WAYS = ["webhook", "syslog", "mail"] as const;
export type Way = (typeof WAYS)[number];

/** A notice that is on its way. */
export interface Owed {
  /** The same however often it is tried. */
  readonly id: string;
  readonly notice: Notice;
  attempts: number;
}

/** What came of carrying notices. */
export type Carried =
  | {
      readonly taken: true;
      /** What the proof is worth, or where it goes on; for a test. */
      readonly note?: string | undefined;
      /** The message that they became. */
      readonly queueId?: string | undefined;
    }
  | {
      readonly taken: false;
      /** Without secrets: of an address its host and port at most. */
      readonly cause: string;
      readonly remedy?: string | undefined;
      /** The receiver answered, and does not want this one. */
      readonly refused?: boolean | undefined;
    };

/** What came of a test by one way. */
export interface WayTested {
  readonly way: Way;
  readonly carried: Carried;
}

/** How one kind of alert behaves. */
export interface AlertKind {
  readonly severity: Severity;
  /**
   * What ends it: `owner`, whoever raised it says so; `look`, the next look that does not find it; `time`, three days after it was last met,
   * since nobody can say that it is over.
   */
  readonly ends: "owner" | "look" | "time";
  /** A start meets it anew where it is still so: what was open before, and was not met until everything ran, is over. */
  readonly metAtStart?: true;
}

/** All kinds; docs/alerts.md says what to do about each. One that is missing here is taken for a `warning` that ends with time. */
export const ALERTS: Readonly<Record<string, AlertKind>> = {
  "upstream.held": { severity: "critical", ends: "owner" },
  "upstream.unreachable": { severity: "warning", ends: "look" },
  "upstream.sign-in": { severity: "warning", ends: "owner" },
  "upstream.certificate": { severity: "warning", ends: "owner", metAtStart: true },
  "upstream.configuration": { severity: "warning", ends: "owner", metAtStart: true },
  "certificate.invalid": { severity: "warning", ends: "owner", metAtStart: true },
  "certificate.expired": { severity: "critical", ends: "owner", metAtStart: true },
  "sender.held": { severity: "warning", ends: "owner" },
  "budget.low": { severity: "warning", ends: "owner" },
  "message.corrupt": { severity: "critical", ends: "time" },
  "report.undeliverable": { severity: "warning", ends: "time" },
  "alert.undeliverable": { severity: "warning", ends: "owner" },
  "config.reload": { severity: "warning", ends: "owner", metAtStart: true },
  "devices.file": { severity: "warning", ends: "time" },
  "tokens.file": { severity: "warning", ends: "owner" },
  "admin.unbound": { severity: "warning", ends: "owner", metAtStart: true },
  "spool.failed": { severity: "critical", ends: "time" },
  "spool.moved": { severity: "critical", ends: "owner" },
  "spool.stuck": { severity: "critical", ends: "owner" },
  "queue.old": { severity: "warning", ends: "look" },
  "disk.low": { severity: "critical", ends: "look" },
  "credential.expiring": { severity: "info", ends: "look" },
  "certificate.expiring": { severity: "info", ends: "look" },
  "program.replaced": { severity: "warning", ends: "look" },
  "token.expiring": { severity: "info", ends: "look" },
  "devices.refused": { severity: "warning", ends: "look" },
};

/** The kind of an alert by its name. */
export function kindOf(alert: string): AlertKind {
  return Object.hasOwn(ALERTS, alert) ? (ALERTS[alert] as AlertKind) : { severity: "warning", ends: "time" };
}
