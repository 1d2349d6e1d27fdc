/** What may never happen, whatever a client says. Knows SMTP's order and the clients' rights, and nothing of the product's code. */
import type { Accepted } from "../hostile/hostile-relay.ts";
import type { ClientName } from "./cases.ts";

/** @returns what was wrong; undefined: nothing */
export function wrong(client: ClientName, sent: Buffer, heard: string, accepted: readonly Accepted[]): string | undefined {
  return wrongAccepted(client, sent, accepted) ?? wrongReplies(client, heard, accepted);
}

function wrongAccepted(client: ClientName, sent: Buffer, accepted: readonly Accepted[]): string | undefined {
  if (client === "unlisted" && accepted.length > 0) return "mail of an unlisted address was taken";
  if (client === "guest" && accepted.length > 0) return "mail of somebody who did not sign in was taken";
  if (client === "balancer" && accepted.length > 0) return "mail of a balancer itself was taken";
  // Each message needs its own MAIL, RCPT, DATA and end of data, in this order and behind those of the one before.
  const whole = /mail[^]*?rcpt[^]*?data[^]*?\n\.\r\n/gi;
  const most = sent.toString("latin1").match(whole)?.length ?? 0;
  if (accepted.length > most) return `${accepted.length} messages were taken where ${most} were sent`;
  for (const { reversePath, recipients } of accepted) {
    if (recipients.length === 0) return "a message without recipients was taken";
    for (const address of [reversePath, ...recipients])
      if (/[\r\n\0]/.test(address)) return `an address with a control character: ${JSON.stringify(address)}`;
    if (client !== "floor") continue;
    if (reversePath !== "" && !reversePath.endsWith("@contoso.com")) return `a sender outside was taken: ${reversePath}`;
    for (const recipient of recipients)
      if (!recipient.endsWith("@contoso.com") || namesAnotherWay(recipient)) return `relayed outside: ${recipient}`;
  }
  return undefined;
}

/**
 * A local part that asks to be sent on: with what routes (% ! @ and what may hide one, such as quotes). What an atom has besides (RFC 5322 §3.2.3) and what is
 * beyond ASCII, such as a mutation leaves there, asks for nothing.
 */
function namesAnotherWay(recipient: string): boolean {
  const localPart = recipient.slice(0, recipient.lastIndexOf("@"));
  return /example\.net/i.test(localPart) && /[^\w.#$&'*+/=?^`{|}~\u0080-\uffff-]/.test(localPart);
}

function wrongReplies(client: ClientName, heard: string, accepted: readonly Accepted[]): string | undefined {
  const broken = heard
    .split("\r\n")
    .slice(0, -1)
    .find((line) => !/^\d{3}[ -][ -~]*$/.test(line));
  if (broken !== undefined) return `a reply that is none: ${JSON.stringify(broken)}`;
  if (client === "unlisted" && !/^(?:554 5\.7\.1 [^\r]*\r\n)?$/.test(heard))
    return `an unlisted address heard ${JSON.stringify(heard.slice(0, 200))}`;
  if (client === "guest" && /^235 /m.test(heard)) return "somebody signed in without a password";
  let mail = false;
  let recipients = 0;
  let data = false;
  for (const line of heard.split("\r\n")) {
    if (line.startsWith("250 2.1.0 ")) [mail, recipients] = [true, 0];
    else if (line.startsWith("250 2.1.5 ")) {
      if (!mail) return "RCPT was taken without MAIL";
      recipients += 1;
    } else if (line.startsWith("354 ")) {
      if (!mail || recipients === 0) return "DATA was taken without MAIL and RCPT";
      data = true;
    } else if (line.includes("queued as ")) {
      if (!data) return "a message was taken without DATA";
      [mail, recipients, data] = [false, 0, false];
      const id = line.slice(line.lastIndexOf(" ") + 1);
      if (!accepted.some(({ queueId }) => queueId === id)) return `${id} was promised and is not there`;
    }
  }
  return undefined;
}
