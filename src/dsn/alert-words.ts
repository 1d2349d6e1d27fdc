/** What a mail of alerts says besides the alerts' own words: in English like these, which are those of the log, the commands and the other ways. */

/** The texts of a mail of alerts. */
export interface AlertWords {
  readonly opening: (hostname: string) => string;
  /** What is printed before an alert, and stands in the subject: in ASCII. */
  readonly severities: Readonly<Record<"info" | "warning" | "critical", string>>;
  readonly over: string;
  readonly still: (severity: string) => string;
  readonly several: (alerts: number) => string;
  readonly since: (date: string) => string;
  /** Before what was the matter. */
  readonly was: (since: string, until: string) => string;
  readonly andMore: (alerts: number) => string;
  readonly closing: string;
  /** What each kind of alert means, in a sentence. */
  readonly kinds: Readonly<Record<string, string>>;
}

export const ALERT_WORDS: AlertWords = {
  opening: (hostname) => `This is the mail relay ${hostname}.`,
  severities: { info: "info", warning: "warning", critical: "critical" },
  over: "over",
  still: (severity) => `still ${severity}`,
  several: (alerts) => `${alerts} alerts`,
  since: (date) => `Since ${date}.`,
  was: (since, until) => `It is over. From ${since} until ${until} it was:`,
  andMore: (alerts) => `and ${alerts} more.`,
  closing: "What is open now, and what to do about it: postern status",
  kinds: {
    "upstream.held": "An upstream is closed by a fault that needs hands. Its mail waits, or goes by the next upstream.",
    "upstream.unreachable": "An upstream has let nothing out for 15 minutes or more. Its mail waits, or goes by the next upstream.",
    "upstream.sign-in": "The sign-in of an upstream cannot be renewed. Mail still leaves with the one before.",
    "upstream.certificate": "The new certificate of an upstream does not fit. The one before stays in use.",
    "upstream.configuration": "A file that an upstream needs cannot be read.",
    "certificate.invalid": "The new certificate of a listener does not fit. The one before is still shown.",
    "certificate.expired": "The certificate of a listener has ended. It is still shown.",
    "certificate.expiring": "The certificate of a listener ends soon.",
    "credential.expiring": "The secret, certificate or sign-in of an upstream ends soon.",
    "sender.held": "Mail of a sender cannot leave by this upstream as it is. It is held.",
    "budget.low": "Little is left of a day's recipients.",
    "message.corrupt": "A stored message failed its checksum. It is held and never sent.",
    "report.undeliverable": "A report to the postmaster was refused.",
    "alert.undeliverable": "Alerts by mail do not arrive at this address.",
    "config.reload": "The changed configuration has faults. The one before is in force.",
    "devices.file": "What is known of devices cannot be written.",
    "tokens.file": "The file with the tokens of the API cannot be read.",
    "admin.unbound": "The API and monitoring, or one of them, do not answer: their address cannot be bound. Mail goes on.",
    "program.replaced": "The program was replaced, and the version before still runs.",
    "token.expiring": "A token of the API ends soon, and a program uses it.",
    "devices.refused": "Many connections of unknown devices are refused.",
    "spool.failed": "The file of the queue could not be used.",
    "spool.moved": "The file of the queue is not in its place. No mail is accepted.",
    "spool.stuck": "The disk of the queue does not answer. No mail is accepted, and none leaves.",
    "queue.old": "Mail has waited for long.",
    "disk.low": "The disk fills up.",
    test: "This is a test.",
  },
};
