/** Causes and remedies in French, for reports. Logs, alarms and commands stay English. */
import type { FailedRecipient } from "../dsn/status.ts";
import { FRENCH_DOOR_ANSWERS } from "./french/door-answers.ts";
import { FRENCH_FAULTS } from "./french/faults.ts";
import { FRENCH_MAIL_ANSWERS } from "./french/mail-answers.ts";
import type { Translation } from "./french/translation.ts";
import { filledIn, type Placeholders } from "./judge.ts";

/** By the id of the row. */
export const FRENCH: Readonly<Record<string, Translation>> = { ...FRENCH_DOOR_ANSWERS, ...FRENCH_MAIL_ANSWERS, ...FRENCH_FAULTS };

/** The recipient's cause and remedy in French; as they are where there is no translation. The code of a fault and its detail stay. */
export function translated(recipient: FailedRecipient, placeholders: Placeholders): FailedRecipient {
  const french = FRENCH[recipient.id];
  if (french === undefined) return recipient;
  const [cause, remedy] = french;
  // `(ECONNREFUSED: 192.0.2.1:587)` at the end of a fault's cause.
  const detail = recipient.reply === undefined ? (/ \([A-Za-z_]\w*: .*\)$/s.exec(recipient.cause)?.[0] ?? "") : "";
  return { ...recipient, cause: `${filledIn(cause, placeholders)}${detail}`, remedy: filledIn(remedy, placeholders) };
}
