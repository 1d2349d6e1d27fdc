/** What a mail of alerts says to people, in each language. What is the matter, and the remedy, stand in it as in the log. */
import type { Language } from "./words.ts";

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

const EN: AlertWords = {
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
    "upstream.held": "A way out is closed by a fault that needs hands. Its mail waits, or goes by the next way.",
    "upstream.unreachable": "A way out has let nothing out for 15 minutes or more. Its mail waits, or goes by the next way.",
    "upstream.sign-in": "The sign-in of a way out cannot be renewed. Mail still leaves with the one before.",
    "upstream.certificate": "The new certificate of a way out does not fit. The one before stays in use.",
    "upstream.configuration": "A file that a way out needs cannot be read.",
    "certificate.invalid": "The new certificate of a listener does not fit. The one before is still shown.",
    "certificate.expired": "The certificate of a listener has ended. It is still shown.",
    "certificate.expiring": "The certificate of a listener ends soon.",
    "credential.expiring": "The secret, certificate or sign-in of a way out ends soon.",
    "sender.held": "Mail of a sender cannot leave by this way out as it is. It is held.",
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
    "queue.old": "Mail has waited for long.",
    "disk.low": "The disk fills up.",
    test: "This is a test.",
  },
};

const FR: AlertWords = {
  opening: (hostname) => `Ici le relais de messagerie ${hostname}.`,
  severities: { info: "info", warning: "attention", critical: "critique" },
  over: "fin",
  still: (severity) => `toujours ${severity}`,
  several: (alerts) => `${alerts} alertes`,
  since: (date) => `Depuis le ${date}.`,
  was: (since, until) => `Terminé. Du ${since} au ${until}, il en était ainsi :`,
  andMore: (alerts) => `et ${alerts} ${alerts === 1 ? "autre" : "autres"}.`,
  closing: "Ce qui est ouvert en ce moment, et que faire : postern status",
  kinds: {
    "upstream.held": "Une sortie est fermée par un défaut à réparer. Son courrier attend, ou passe par la sortie suivante.",
    "upstream.unreachable":
      "Rien n'est parti par une sortie depuis 15 minutes ou plus. Son courrier attend, ou passe par la sortie suivante.",
    "upstream.sign-in": "L'authentification d'une sortie ne peut pas être renouvelée. Le courrier part encore avec la précédente.",
    "upstream.certificate": "Le nouveau certificat d'une sortie ne convient pas. Le précédent reste utilisé.",
    "upstream.configuration": "Un fichier dont une sortie a besoin ne peut pas être lu.",
    "certificate.invalid": "Le nouveau certificat d'un port d'écoute ne convient pas. Le précédent est encore présenté.",
    "certificate.expired": "Le certificat d'un port d'écoute a expiré. Il est encore présenté.",
    "certificate.expiring": "Le certificat d'un port d'écoute expire bientôt.",
    "credential.expiring": "Le secret, le certificat ou la connexion d'une sortie expire bientôt.",
    "sender.held": "Du courrier d'un expéditeur ne peut pas partir tel quel par cette sortie. Il est retenu.",
    "budget.low": "Il reste peu des destinataires d'une journée.",
    "message.corrupt": "Un message enregistré est endommagé. Il est retenu et n'est jamais envoyé.",
    "report.undeliverable": "Un rapport au postmaster a été refusé.",
    "alert.undeliverable": "Les alertes par courriel n'arrivent pas à cette adresse.",
    "config.reload": "La configuration modifiée contient des erreurs. La précédente reste en vigueur.",
    "devices.file": "Ce qui est connu des appareils ne peut pas être écrit.",
    "tokens.file": "Le fichier des jetons de l'API ne peut pas être lu.",
    "admin.unbound": "L'API ou la supervision ne répondent pas : leur adresse ne peut pas être ouverte. Le courrier continue.",
    "program.replaced": "Le programme a été remplacé, et la version précédente tourne encore.",
    "token.expiring": "Un jeton de l'API, qu'un programme utilise, expire bientôt.",
    "devices.refused": "Beaucoup de connexions d'appareils inconnus sont refusées.",
    "spool.failed": "Le fichier de la file d'attente n'a pas pu être utilisé.",
    "spool.moved": "Le fichier de la file d'attente n'est plus à sa place. Aucun courrier n'est accepté.",
    "queue.old": "Du courrier attend depuis longtemps.",
    "disk.low": "Le disque se remplit.",
    test: "Ceci est un essai.",
  },
};

export const ALERT_WORDS: Readonly<Record<Language, AlertWords>> = { en: EN, fr: FR };
