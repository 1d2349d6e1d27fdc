/** Whether a door could take a recipient at all, as far as the envelope tells. Pure. */
import { isInternalDomain, splitAddress } from "../mail/address.ts";
import type { Envelope } from "../mail/message.ts";
import type { DoorTraits } from "../upstream/upstream.ts";

/** What a door is like, for routing. */
export interface DoorFacts {
  readonly traits: Pick<DoorTraits, "serves" | "nullSender">;
  readonly maxMessageSizeBytes: number;
}

/** Why a door cannot take a recipient. */
export type Misfit = "external-recipient" | "size" | "null-sender";

/** @returns undefined where it fits */
export function misfit(door: DoorFacts, envelope: Envelope, recipient: string, domains: readonly string[]): Misfit | undefined {
  if (envelope.sizeBytes > door.maxMessageSizeBytes) return "size";
  const { serves, nullSender } = door.traits;
  const onlyInternal = serves === "internal" || (envelope.reversePath === "" && nullSender === "internal");
  if (!onlyInternal || isInternalDomain(splitAddress(recipient).domain, domains)) return undefined;
  return serves === "internal" ? "external-recipient" : "null-sender";
}
