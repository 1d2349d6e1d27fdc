/** A refusal in Microsoft's words, taken from the table of faults. */
import { faultNamed } from "./faults.ts";

/** A refusal: the text of a reply and which bracket follows it. */
export interface Refused {
  readonly text: string;
  readonly suffix: "session" | "hostname";
}

/** The words of a fault of the table, with its places filled in. */
export function wordsOf(name: string, values: Readonly<Record<string, string>> = {}): Refused {
  const action = faultNamed(name)?.action;
  if (action?.kind !== "reply") throw new Error(`the fault ${name} has no reply`);
  return { text: fillIn(action.text, values), suffix: action.suffix };
}

/** Fills `{name}` places in. */
export function fillIn(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
}
