/** Everything the receiving stage says, as values. product contract: what the SMTP client sees. RFC 5321 §4.2, RFC 3463. */
import type { Reply } from "../mail/reply.ts";

const reply = (code: number, enhanced: string, text: string): Reply => ({ code, enhanced, text });

export const REPLIES = {
  ok: reply(250, "2.0.0", "Ok"),
  senderOk: reply(250, "2.1.0", "Ok"),
  recipientOk: reply(250, "2.1.5", "Ok"),
  startData: { code: 354, text: "End data with <CR><LF>.<CR><LF>" },
  bye: reply(221, "2.0.0", "Bye"),
  verify: reply(252, "2.0.0", "Cannot verify, but will accept the mail and try"),
  help: reply(214, "2.0.0", "See RFC 5321"),
  readyForTls: reply(220, "2.0.0", "Ready to start TLS"),
  authenticated: reply(235, "2.7.0", "Ok"),
  passwordPrompt: { code: 334, text: "UGFzc3dvcmQ6" },
  userPrompt: { code: 334, text: "VXNlcm5hbWU6" },
  emptyPrompt: { code: 334, text: "" },
  authRequired: reply(530, "5.7.0", "Authentication required"),
  authFailed: reply(535, "5.7.8", "Authentication credentials invalid"),
  authBusy: reply(454, "4.7.0", "Temporary authentication failure, try again later"),
  authDone: reply(503, "5.5.1", "Already authenticated"),
  authSyntax: reply(501, "5.5.2", "Cannot decode the credentials"),
  tooManyAuthFailures: reply(421, "4.7.0", "Too many failed authentications"),
  authAborted: reply(501, "5.7.0", "Authentication aborted"),
  authMechanism: reply(504, "5.5.4", "Unrecognized authentication type"),
  unknownCommand: reply(500, "5.5.2", "Command not recognized"),
  lineTooLong: reply(500, "5.5.2", "Line too long"),
  syntax: reply(501, "5.5.4", "Syntax error in parameters"),
  badSize: reply(501, "5.5.4", "Bad value of SIZE"),
  noSender: reply(501, "5.1.7", "No sender address found"),
  severalSenders: reply(501, "5.1.7", "More than one sender address found"),
  noRecipient: reply(501, "5.1.3", "No recipient address found"),
  severalRecipients: reply(501, "5.1.3", "More than one recipient address found"),
  notImplemented: reply(502, "5.5.1", "Command not implemented"),
  needMail: reply(503, "5.5.1", "Need MAIL first"),
  needRecipient: reply(503, "5.5.1", "Need RCPT first"),
  noValidRecipient: reply(554, "5.5.1", "No valid recipients"),
  inTransaction: reply(503, "5.5.1", "Not during a mail transaction"),
  tlsActive: reply(503, "5.5.1", "TLS is already active"),
  tlsRequired: reply(530, "5.7.0", "Must issue a STARTTLS command first"),
  tooManyRecipients: reply(452, "4.5.3", "Too many recipients, send the rest in another mail"),
  tooManySessions: reply(421, "4.3.2", "Too many connections, try again later"),
  tooManyDeviceSessions: reply(421, "4.3.2", "Too many connections from your address, try again later"),
  rate: reply(451, "4.7.1", "Too many messages in this time, try again later"),
  recipientRate: reply(451, "4.7.1", "Too many recipients in this time, try again later"),
  tooManyErrors: reply(421, "4.7.0", "Too many errors"),
  tooLong: reply(421, "4.3.2", "The session lasted too long, connect again"),
  tooSlow: reply(421, "4.4.2", "The data came too slowly, closing the connection"),
  shuttingDown: reply(421, "4.3.2", "Service is shutting down, try again later"),
  idle: reply(421, "4.4.2", "Nothing came for too long, closing the connection"),
  tooManyUnknown: reply(421, "4.7.0", "Too many unknown commands"),
  tooManyCommands: reply(421, "4.7.0", "Too many commands without a mail"),
  contentUnasked: reply(421, "4.7.0", "Message text came after DATA was refused"),
  talksTls: reply(554, "5.5.1", "TLS on a plain port"),
  talksHttp: reply(554, "5.5.1", "HTTP on a mail port"),
  needsProxy: reply(554, "5.5.1", "PROXY header expected"),
  talksProxy: reply(554, "5.5.1", "PROXY header not expected"),
  tlsFailed: reply(454, "4.7.0", "TLS handshake failed"),
} as const satisfies Record<string, Reply>;

const wireForms = new WeakMap<Reply, string>();

/** A reply as it goes out: no octet beyond printable ASCII, one line for each line of its text. */
export function wireReply(value: Reply): string {
  const known = wireForms.get(value);
  if (known !== undefined) return known;
  const enhanced = value.enhanced === undefined ? "" : `${value.enhanced} `;
  const lines = value.text.split("\n");
  const wire = lines
    .map((line, at) => `${value.code}${at < lines.length - 1 ? "-" : " "}${enhanced}${line.replace(/[^\u0020-\u007e]/gu, "?")}\r\n`)
    .join("");
  wireForms.set(value, wire);
  return wire;
}

/** 554 for an address that no client of the listener could match. */
export function notAllowed(hostname: string, address: string): Reply {
  return { code: 554, enhanced: "5.7.1", text: `${hostname} ${address} is not allowed to relay; ask the administrator to add it` };
}

/** The 250 that takes responsibility, in its wire form: it is said once for each message. */
export function queuedAs(queueId: string): string {
  return `250 2.0.0 Ok: queued as ${queueId}\r\n`;
}
