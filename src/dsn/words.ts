/** What a report says to people, in each language. The part for machines is the same in all. */
import { mailDate } from "./mime.ts";

export const LANGUAGES = ["en", "fr"] as const;
/** `bounces.language`. */
export type Language = (typeof LANGUAGES)[number];

/** Where a message came from, as an opening names it. Empty strings where that is not known. */
export interface Source {
  readonly hostname: string;
  readonly device: string;
  readonly sender: string;
  /** When it was taken, written out. */
  readonly date: string;
  readonly recipients: number;
}

/** The texts of a report. None ends in a line end; addresses come in already cleaned. */
export interface Words {
  /** A moment for people. */
  readonly date: (ms: number, timeZone: string | undefined) => string;
  readonly relayName: (hostname: string) => string;
  /** Of RFC 2045 agents that show no MIME. */
  readonly preamble: string;
  readonly failedSubject: (first: string, more: number) => string;
  readonly delayedSubject: (first: string, more: number) => string;
  readonly summarySubject: (messages: number, sender: string) => string;
  readonly delayedSummarySubject: (messages: number, sender: string) => string;
  readonly failedOpening: (source: Source) => string;
  readonly delayedOpening: (source: Source) => string;
  readonly reportOpening: (hostname: string) => string;
  readonly summaryOpening: (hostname: string, messages: number, sender: string) => string;
  readonly delayedSummaryOpening: (hostname: string, messages: number, sender: string) => string;
  readonly failed: string;
  readonly expired: string;
  readonly delayed: (until: string | undefined) => string;
  readonly givenUp: string;
  readonly givenUpBy: (operator: string) => string;
  readonly askFirst: string;
  readonly serverSaid: string;
  readonly whatToDo: (remedy: string) => string;
  readonly lastAttempt: (date: string, remote: string | undefined) => string;
  readonly neverTried: string;
  readonly command: (command: string) => string;
  readonly andMore: (messages: number) => string;
}

const EN: Words = {
  date: mailDate,
  relayName: (hostname) => `Mail relay ${hostname}`,
  preamble: "This is a delivery report in MIME format.",
  failedSubject: (first, more) => `Not delivered: your message to ${first}${more > 0 ? ` and ${more} more` : ""}`,
  delayedSubject: (first, more) => `Delayed: your message to ${first}${more > 0 ? ` and ${more} more` : ""}`,
  summarySubject: (messages, sender) => `Not delivered: ${messages} more ${messages === 1 ? "message" : "messages"} from ${sender}`,
  delayedSummarySubject: (messages, sender) => `Delayed: ${messages} more ${messages === 1 ? "message" : "messages"} from ${sender}`,
  failedOpening: (source) => `${tookIt(source)}, and could not deliver it to the following ${plural(source.recipients)}.`,
  delayedOpening: (source) =>
    `${tookIt(source)}, and has not been able to deliver it to the following ${plural(source.recipients)} yet. It goes on trying: you need not send it again.`,
  reportOpening: (hostname) =>
    `A delivery report of the mail relay ${hostname} could not be delivered to the person it was meant for. It is attached, so that you know of it.`,
  summaryOpening: (hostname, messages, sender) =>
    `This is the mail relay ${hostname}. Since its report an hour ago it could not deliver ${messages} more ${messages === 1 ? "message" : "messages"} from ${sender}, for the same reason:`,
  delayedSummaryOpening: (hostname, messages, sender) =>
    `This is the mail relay ${hostname}. Since its report an hour ago ${messages} more ${messages === 1 ? "message is" : "messages are"} late from ${sender}, for the same reason. It goes on trying: you need not send them again.`,
  failed: "Refused; no further attempt is made: ",
  expired: "Not delivered in the time allowed; no further attempt is made. The last time: ",
  delayed: (until) => `Not delivered yet${until === undefined ? "" : `, tried until ${until}`}. The last time: `,
  givenUp: "No further attempt is made: ",
  givenUpBy: (operator) => `given up by ${operator}`,
  askFirst: "Ask the administrator of the mail relay before you send it again",
  serverSaid: "The next mail server said:",
  whatToDo: (remedy) => `What to do: ${remedy}`,
  lastAttempt: (date, remote) => `Last attempt: ${date}${remote === undefined ? "" : `, to ${remote}`}.`,
  neverTried: "It was not tried before.",
  command: (command) => `The administrator finds the message with: ${command}`,
  andMore: (messages) => `and ${messages} more ${messages === 1 ? "message" : "messages"}.`,
};

function plural(recipients: number): string {
  return recipients === 1 ? "recipient" : "recipients";
}

function tookIt({ hostname, device, sender, date }: Source): string {
  const from = device === "" ? "" : ` from the device ${device}`;
  const as = sender === "" ? "" : ` with the sender ${sender}`;
  return `This is the mail relay ${hostname}. It took a message${from}${as} at ${date}`;
}

const FRENCH_DATES = new Map<string | undefined, Intl.DateTimeFormat>();

function frenchDate(ms: number, timeZone: string | undefined): string {
  let format = FRENCH_DATES.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("fr-FR", {
      timeZone,
      day: "numeric",
      month: "long",
      year: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      timeZoneName: "shortOffset",
    });
    FRENCH_DATES.set(timeZone, format);
  }
  // The libraries of different Node versions write spaces of different widths.
  return format.format(ms).replaceAll(/[\u00a0\u202f]/g, " ");
}

const FR: Words = {
  date: frenchDate,
  relayName: (hostname) => `Relais de messagerie ${hostname}`,
  preamble: "Ceci est un rapport de remise au format MIME.",
  failedSubject: (first, more) => `Non remis : votre message à ${first}${autres(more)}`,
  delayedSubject: (first, more) => `Retardé : votre message à ${first}${autres(more)}`,
  summarySubject: (messages, sender) => `Non remis : ${messages} ${autreMessage(messages)} de ${sender}`,
  delayedSummarySubject: (messages, sender) => `Retardé : ${messages} ${autreMessage(messages)} de ${sender}`,
  failedOpening: (source) => `${aRecu(source)} et n'a pas pu le remettre ${aux(source.recipients)}.`,
  delayedOpening: (source) =>
    `${aRecu(source)} et n'a pas encore pu le remettre ${aux(source.recipients)}. Les tentatives continuent : inutile de le renvoyer.`,
  reportOpening: (hostname) =>
    `Un rapport de remise du relais de messagerie ${hostname} n'a pas pu être remis à son destinataire. Il est joint, afin que vous en ayez connaissance.`,
  summaryOpening: (hostname, messages, sender) =>
    `Ici le relais de messagerie ${hostname}. Depuis son rapport d'il y a une heure, ${messages} ${autreMessage(messages)} de ${sender} ${messages === 1 ? "n'a pas pu être remis" : "n'ont pas pu être remis"} pour la même raison :`,
  delayedSummaryOpening: (hostname, messages, sender) =>
    `Ici le relais de messagerie ${hostname}. Depuis son rapport d'il y a une heure, ${messages} ${autreMessage(messages)} de ${sender} ${messages === 1 ? "est retardé" : "sont retardés"} pour la même raison. Les tentatives continuent : inutile de ${messages === 1 ? "le" : "les"} renvoyer.`,
  failed: "Refusé ; il n'y aura pas d'autre tentative : ",
  expired: "Non remis dans le délai prévu ; il n'y aura pas d'autre tentative. La dernière fois : ",
  delayed: (until) => `Pas encore remis${until === undefined ? "" : `, tentatives jusqu'au ${until}`}. La dernière fois : `,
  givenUp: "Il n'y aura pas d'autre tentative : ",
  givenUpBy: (operator) => `abandonné par ${operator}`,
  askFirst: "Demandez à l'administrateur du relais de messagerie avant de le renvoyer",
  serverSaid: "Le serveur de messagerie suivant a répondu :",
  whatToDo: (remedy) => `Que faire : ${remedy}`,
  lastAttempt: (date, remote) => `Dernière tentative : ${date}${remote === undefined ? "" : `, vers ${remote}`}.`,
  neverTried: "Aucune tentative n'avait eu lieu.",
  command: (command) => `L'administrateur retrouve le message avec : ${command}`,
  andMore: (messages) => `et ${messages} ${autreMessage(messages)}.`,
};

function autres(more: number): string {
  return more === 0 ? "" : ` et ${more} autre${more === 1 ? "" : "s"}`;
}

function autreMessage(messages: number): string {
  return messages === 1 ? "autre message" : "autres messages";
}

function aux(recipients: number): string {
  return recipients === 1 ? "au destinataire suivant" : "aux destinataires suivants";
}

function aRecu({ hostname, device, sender, date }: Source): string {
  const from = device === "" ? "" : ` de l'appareil ${device}`;
  const as = sender === "" ? "" : ` avec l'expéditeur ${sender}`;
  return `Ici le relais de messagerie ${hostname}. Il a reçu un message${from}${as} le ${date}`;
}

export const WORDS: Readonly<Record<Language, Words>> = { en: EN, fr: FR };
