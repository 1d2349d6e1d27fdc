/** The exchange of AUTH PLAIN and LOGIN, from the command to the credentials. Pure: what the credentials are worth is decided elsewhere. */
import type { Reply } from "../mail/reply.ts";
import { REPLIES } from "./replies.ts";
import { decodeBase64, readPlain } from "./sign-in.ts";
import type { Credentials } from "./sign-in.ts";

/** What comes next: a prompt whose answer is a line, an end without credentials, or the credentials (undefined: they cannot be read). */
export type AuthStep =
  | { readonly kind: "prompt"; readonly reply: Reply; readonly next: (line: string) => AuthStep }
  | { readonly kind: "ended"; readonly reply: Reply; readonly fault: boolean }
  | { readonly kind: "credentials"; readonly credentials: Credentials | undefined };

const ABORTED: AuthStep = { kind: "ended", reply: REPLIES.authAborted, fault: false };

/** @param initial - the argument after the mechanism, as sent */
export function beginAuth(mechanism: string, initial: string | undefined): AuthStep {
  if (mechanism === "PLAIN") return initial === undefined ? prompt(REPLIES.emptyPrompt, plain) : plain(initial);
  if (mechanism === "LOGIN") return initial === undefined ? prompt(REPLIES.userPrompt, login) : login(initial);
  return { kind: "ended", reply: REPLIES.authMechanism, fault: true };
}

function prompt(reply: Reply, next: (line: string) => AuthStep): AuthStep {
  return { kind: "prompt", reply, next: (line) => (line.trim() === "*" ? ABORTED : next(line)) };
}

function plain(answer: string): AuthStep {
  const message = decodeBase64(answer);
  return { kind: "credentials", credentials: message === undefined ? undefined : readPlain(message) };
}

function login(name: string): AuthStep {
  const user = decodeBase64(name);
  return prompt(REPLIES.passwordPrompt, (answer) => {
    const password = decodeBase64(answer);
    return { kind: "credentials", credentials: user === undefined || password === undefined ? undefined : { user, password } };
  });
}
