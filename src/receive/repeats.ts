/**
 * Messages of the last minutes by what they are, for devices that send again because they did not wait for the answer. Used only where a
 * listener or client asks for it. In memory: a restart forgets, and then at worst a duplicate is delivered.
 */
import { createHash } from "node:crypto";

/** A message that was, or is just being, accepted. */
export interface Earlier {
  readonly queueId: string;
  /** True once it is ours; false when its commit failed. */
  readonly accepted: Promise<boolean>;
}

const MOST = 10_000;

export class Repeats {
  /** In the order of their arrival. */
  readonly #known = new Map<string, Earlier & { readonly at: number }>();

  /** @param now - ms of a clock that never goes back */
  find(key: string, now: number, withinMs: number): Earlier | undefined {
    const earlier = this.#known.get(key);
    return earlier !== undefined && now - earlier.at <= withinMs ? earlier : undefined;
  }

  /** Remembers a message whose commit is under way, and forgets it when that fails. `accepted` never rejects. */
  remember(key: string, queueId: string, now: number, accepted: Promise<boolean>): void {
    const entry = { queueId, at: now, accepted };
    this.#known.delete(key);
    this.#known.set(key, entry);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MOST) break;
      this.#known.delete(oldest);
    }
    void accepted.then((ours) => {
      if (!ours && this.#known.get(key) === entry) this.#known.delete(key);
    });
  }
}

/** Tells messages apart: who sent it, from whom to whom, and the digest of its content as the device sent it. */
export function repeatKey(device: string, sender: string, recipients: readonly string[], content: string): string {
  return createHash("sha256")
    .update(JSON.stringify([device, sender, recipients.toSorted(), content]))
    .digest("base64");
}
