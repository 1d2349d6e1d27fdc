/** A look at an SMTP door: every stage up to RCPT on a connection of its own, and what each came to. */
import type { Diagnosis, Refusal, RecipientFact, Stage, Trial } from "../upstream.ts";
import { STAGES } from "../upstream.ts";
import { claimsOf } from "../oauth/claims.ts";
import { rcptCommand } from "./envelope.ts";
import { SmtpConnection } from "./connection.ts";
import { endOnAbort } from "./opening.ts";
import type { ConnectionOpener, OpeningOptions } from "./opening.ts";
import type { Login } from "./session.ts";

const QUIT_MS = 2_000;

/** Stages of a connection, in order. */
const OF_CONNECTION: readonly Stage[] = ["connect", "greeting", "ehlo", "starttls"];

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Never rejects. Sends nothing: what MAIL and RCPT began is taken back with RSET. */
export async function examine(
  { places, signIn, tlsMode }: OpeningOptions,
  opener: ConnectionOpener,
  trial: Trial,
  signal: AbortSignal,
): Promise<Diagnosis> {
  const stages: { stage: Stage; refusal?: Refusal | undefined }[] = [];
  const recipients: RecipientFact[] = [];
  const found: Mutable<Diagnosis> = { stages, places: [], recipients };
  // What was looked up before may be what is wrong.
  places.failed?.();
  const where = await places.find(signal);
  if (!("stage" in where))
    found.places = where.map(
      ({ host, port, address }) => `${host}:${port}${address === undefined || address === host ? "" : ` [${address}]`}`,
    );

  // Not only after a connection: a secret can be wrong as well. And at the same time: a host that swallows packets must not use up its time.
  const signingIn = signIn?.fresh === undefined ? signIn?.login(signal) : signIn.fresh(signal);
  const connection = await opener.connect(signal, () => undefined);
  if (connection instanceof SmtpConnection) {
    for (const stage of OF_CONNECTION) if (stage !== "starttls" || connection.tlsVersion !== undefined) stages.push({ stage });
    found.remote = connection.remote;
    found.tls = connection.tlsVersion;
    found.ehlo = connection.ehlo;
    found.certificate = connection.peerCertificate;
  } else {
    for (const stage of OF_CONNECTION) if (isBefore(stage, connection.stage) && tlsMode !== "implicit") stages.push({ stage });
    stages.push({ stage: connection.stage, refusal: connection });
  }

  const login = await signingIn;
  if (login !== undefined && "stage" in login) {
    stages.push({ stage: "token", refusal: login });
  } else if (login !== undefined && "token" in login) {
    stages.push({ stage: "token" });
    found.token = claimsOf(login.token);
  }
  if (!(connection instanceof SmtpConnection)) return found;
  const stopWatching = endOnAbort(signal, connection);
  try {
    if (login === undefined || !("stage" in login)) await talk(connection, opener, login, trial, signal, stages, recipients);
  } finally {
    stopWatching();
    connection.sayQuit(QUIT_MS);
  }
  return found;
}

async function talk(
  connection: SmtpConnection,
  opener: ConnectionOpener,
  login: Login | undefined,
  { reversePath, recipients }: Trial,
  signal: AbortSignal,
  stages: { stage: Stage; refusal?: Refusal | undefined }[],
  facts: RecipientFact[],
): Promise<void> {
  if (login !== undefined) {
    const refusal = await opener.authenticate(connection, login, signal);
    stages.push({ stage: "auth", refusal });
    if (refusal !== undefined) return;
  }
  for (const address of recipients) {
    const mail = await connection.ask("mail", `MAIL FROM:<${reversePath}>`);
    if (facts.length === 0 || mail !== undefined) stages.push({ stage: "mail", refusal: mail });
    if (mail !== undefined) return;
    const refusal = await connection.ask("rcpt", rcptCommand(address).trimEnd());
    facts.push({ address, refusal });
    if (!(await connection.resetSession())) return;
  }
}

function isBefore(stage: Stage, other: Stage): boolean {
  return STAGES.indexOf(stage) < STAGES.indexOf(other);
}
