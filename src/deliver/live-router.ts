/** A router that a reload can replace, so that everybody who routes (the queue, the lanes, the size limit) asks the one in force. */
import type { Envelope } from "../mail/message.ts";
import type { RouteRecipient, Standing } from "../queue/queue.ts";
import type { Route, Router, WayOut } from "./routes.ts";

export class LiveRouter implements Router {
  #router: Router;
  readonly choose: RouteRecipient = (envelope, recipient, standing) => this.#router.choose(envelope, recipient, standing);

  constructor(router: Router) {
    this.#router = router;
  }

  /** From now on this one is asked. */
  replace(router: Router): void {
    this.#router = router;
  }

  another(envelope: Envelope, recipient: string, standing: Standing, orClosed: boolean): string | undefined {
    return this.#router.another(envelope, recipient, standing, orClosed);
  }

  usual(envelope: Envelope, recipient: string): string {
    return this.#router.usual(envelope, recipient);
  }

  find(envelope: Envelope, recipient: string): { readonly route: Route; readonly doors: readonly WayOut[] } {
    return this.#router.find(envelope, recipient);
  }

  companions(door: string): readonly string[] {
    return this.#router.companions(door);
  }

  spills(door: string): boolean {
    return this.#router.spills(door);
  }
}
