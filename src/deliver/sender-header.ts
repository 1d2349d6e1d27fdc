/** Carries a sender plan out in the header of a message: single fields are replaced or added, all other octets stay. */
import { isIP } from "node:net";
import { canonicalAddress, isRoutable, sameAddress } from "../mail/address.ts";
import type { Envelope } from "../mail/message.ts";
import { fieldOctets, tellsOfSignature } from "../mime/fields.ts";
import type { HeaderBlock } from "../mime/header-block.ts";
import { mailboxField, readMailboxes } from "../mime/mailboxes.ts";
import { decodeOctets, unstructured } from "../mime/words.ts";
import type { SenderPlan } from "./sender-plan.ts";

/** What the header says of us. */
export interface OwnNames {
  /** Our name, by which we know our own loop header again. */
  readonly hostname: string;
  /** `organization.domains`. */
  readonly domains: readonly string[];
}

/** `signed`: the plan would change what a signature covers. */
export type EditVerdict = { readonly kind: "signed" } | { readonly kind: "edited"; readonly fromRewritten: boolean };

/** Names that devices give themselves and that name nothing. */
const NO_NAMES = new Set(["localhost", "localdomain", "localhost.localdomain", "unknown", "none"]);

/** Notes the changes in `header`, which tells whether there are any. */
export function editSender(header: HeaderBlock, plan: SenderPlan, envelope: Envelope, own: OwnNames): EditVerdict {
  const fromFields = header.named("from");
  const from = fromFields
    .flatMap((field) => readMailboxes(header.valueOf(field)))
    .map(({ display, address }) => ({ display, address: canonicalAddress(decodeOctets(address)) }));
  const addresses = from.map(({ address }) => address);
  const stays = plan.from?.stays ?? (() => true);
  const fromRewritten = plan.from !== undefined && (fromFields.length !== 1 || addresses.length === 0 || !addresses.every(stays));
  const senders = header.named("sender");
  const sender = senderChange(header, plan, addresses);
  if ((fromRewritten || sender !== "stays") && isSigned(header, envelope)) return { kind: "signed" };

  if (fromRewritten && plan.from !== undefined) {
    const display = from.find((one) => one.display !== "")?.display ?? deviceName(envelope);
    header.set(fromFields, mailboxField("From", display, plan.from.address));
    // Whom the old one named would be shown as the author's deputy, and Microsoft asks for its right too.
    header.remove(senders);
    const original = addresses.find((one) => isRoutable(one, own.domains));
    const wantsReply = envelope.kind === "mail" && envelope.reversePath !== "" && header.named("reply-to").length === 0;
    if (wantsReply && original !== undefined && !sameAddress(original, plan.from.address))
      header.add(mailboxField("Reply-To", "", original));
  } else if (sender === "goes") header.remove(senders);
  else if (sender !== "stays") header.set(senders, mailboxField("Sender", "", sender.address));

  const replaced = plan.replaced ?? (fromRewritten && envelope.reversePath !== "" ? envelope.reversePath : undefined);
  if (replaced !== undefined && header.named("x-postern-original-sender").length === 0)
    header.add(fieldOctets("X-Postern-Original-Sender", unstructured(replaced)));
  if (plan.automatic) markAutomatic(header, own.hostname);
  return { kind: "edited", fromRewritten };
}

type SenderChange = "stays" | "goes" | { readonly address: string };

/** What becomes of Sender: where From: stays. */
function senderChange(header: HeaderBlock, plan: SenderPlan, from: readonly string[]): SenderChange {
  const fields = header.named("sender");
  const named = fields.map((field) => readMailboxes(header.valueOf(field)).map(({ address }) => canonicalAddress(decodeOctets(address))));
  if (plan.sender === undefined) return "stays";
  if (plan.sender === "drop") {
    const strange = named.some((addresses) => !addresses.every(plan.from?.stays ?? (() => true)));
    return strange ? "goes" : "stays";
  }
  const sender = plan.sender.address;
  // RFC 5322 §3.6.2: not beside a From: that says the same.
  if (from.length === 1 && from[0] !== undefined && sameAddress(from[0], sender) && fields.length === 0) return "stays";
  const [only, ...more] = named;
  const right = more.length === 0 && only?.length === 1 && only[0] !== undefined && sameAddress(only[0], sender);
  return right ? "stays" : { address: sender };
}

function isSigned(header: HeaderBlock, envelope: Envelope): boolean {
  return envelope.signed ?? header.fields.some((field) => tellsOfSignature(header.octets, field));
}

/** RFC 3834 §5: answering machines keep quiet. Our own header shows the message to be ours, should it come back to us. */
function markAutomatic(header: HeaderBlock, hostname: string): void {
  if (header.named("auto-submitted").length === 0) header.add(fieldOctets("Auto-Submitted", "auto-replied"));
  const known = header.named("x-postern-loop").some((field) => header.valueOf(field).toLowerCase() === hostname.toLowerCase());
  if (!known) header.add(fieldOctets("X-Postern-Loop", hostname));
}

/** What stands for a device that gives its mail no name: what it calls itself, else its address. */
function deviceName({ origin }: Envelope): string {
  const { helo, device } = origin;
  const isName = helo !== undefined && /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(helo) && isIP(helo) === 0;
  return isName && !NO_NAMES.has(helo.toLowerCase()) ? helo : device;
}
