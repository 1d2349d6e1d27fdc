/** What becomes of a message's sender on a door. Pure: envelope and door in, plan out; the header is changed by `sender-header.ts`. */
import { canonicalAddress, matchesPatterns, sameAddress } from "../mail/address.ts";
import type { Envelope } from "../mail/message.ts";
import type { Upstream } from "../upstream/upstream.ts";

/** What of a door decides about senders. */
export type SendingDoor = Pick<Upstream, "traits" | "mailbox">;

/** What is to become of envelope and header. */
export interface SenderPlan {
  readonly reversePath: string;
  /** From: must name senders that `stays` is true of; otherwise it becomes `address`, and the reverse-path with it. */
  readonly from: { readonly address: string; readonly stays: (address: string) => boolean } | undefined;
  /** Sender: becomes this, unless From: is it already. `drop`: one that names somebody else goes, since Microsoft asks for its right too. */
  readonly sender: { readonly address: string } | "drop" | undefined;
  /** The null reverse-path had to be replaced: whoever gets the message must not answer it, nor must we. */
  readonly automatic: boolean;
  /** The reverse-path that another took the place of; neither `<>` nor one that stays. */
  readonly replaced: string | undefined;
  /** Whether it takes a look at the header to know what to change. What the envelope tells is enough for usual mail. */
  readonly needsHeader: boolean;
}

/** The address that a door rewrites senders to, where it has one. */
export function rewriteAddress(door: SendingDoor): string | undefined {
  return door.traits.sender.address ?? door.mailbox;
}

/**
 * Plans by the door's sender policy.
 *
 * @param domains - `organization.domains`
 * @param rewrite - as with the mode `rewrite`, whatever the policy: for a message that was refused for its sender. Without effect on a door
 *   that has no address to rewrite to.
 */
export function planSender(envelope: Envelope, door: SendingDoor, domains: readonly string[], rewrite: boolean): SenderPlan {
  const { traits, mailbox } = door;
  const { sendAs } = traits.sender;
  const address = rewriteAddress(door);
  const mode = address === undefined ? "keep" : rewrite ? "rewrite" : traits.sender.mode;
  const automatic = envelope.reversePath === "" && traits.nullSender === "mailbox";
  // With a mailbox of each sender's own there is none to name here: the door takes From:.
  const nullPath = automatic ? (mailbox ?? address ?? "") : "";
  const path = envelope.reversePath === "" ? nullPath : envelope.reversePath;
  const kept: SenderPlan = {
    reversePath: path,
    from: undefined,
    sender: undefined,
    automatic,
    replaced: undefined,
    needsHeader: automatic,
  };
  if (mode === "keep" || address === undefined) return kept;

  const isOwn = (one: string): boolean =>
    one === address ||
    one === mailbox ||
    sameAddress(one, address) ||
    (mailbox !== undefined && sameAddress(one, mailbox)) ||
    (sendAs.length > 0 && matchesPatterns(canonicalAddress(one), sendAs, domains));
  const replace = (): Pick<SenderPlan, "reversePath" | "replaced"> =>
    envelope.reversePath === "" || sameAddress(path, address)
      ? { reversePath: path, replaced: undefined }
      : { reversePath: address, replaced: path };
  if (mode === "on-behalf-of") return { ...kept, ...replace(), sender: { address }, needsHeader: true };
  if (mode === "rewrite") {
    const stays = (one: string): boolean => one === address || sameAddress(one, address);
    return { ...kept, ...replace(), from: { address, stays }, sender: "drop", needsHeader: true };
  }
  const { signed, headerFrom } = envelope;
  const from = { address, stays: isOwn };
  const fromStays = headerFrom !== undefined && isOwn(headerFrom);
  const pathStays = envelope.reversePath === "" || isOwn(path);
  // In a signed message intake leaves more than one From: as they are.
  if (fromStays && pathStays) return { ...kept, from, needsHeader: automatic || signed !== false };
  return { ...kept, ...replace(), from, needsHeader: true };
}
