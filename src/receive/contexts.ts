/** What sessions share, made for each client of a listener: its way of TLS and its limits. */
import type { ClientOptions, ListenerOptions, SessionContext } from "./options.ts";
import { effectiveTls } from "./tls.ts";

/** What is the same for all of the relay. */
export type SharedContext = Omit<SessionContext, "listener" | "tls" | "of">;

/** @param shared - of the whole relay */
export function makeContext(listener: ListenerOptions, shared: SharedContext): SessionContext {
  const { sessions } = shared.limits;
  // A reload's clients are other ones: those before go with their last session.
  const contexts = new WeakMap<ClientOptions, SessionContext>();
  const own = {
    ...shared,
    listener,
    tls: effectiveTls(listener.tls, undefined),
    limits: { ...shared.limits, ...defined(listener.limits), sessions },
  };
  const of = (client: ClientOptions | undefined): SessionContext => {
    if (client === undefined) return plain;
    const known = contexts.get(client);
    if (known !== undefined) return known;
    const limits = { ...own.limits, ...defined(client.limits), sessions, commandLineBytes: own.limits.commandLineBytes };
    const made = { ...own, of, tls: effectiveTls(listener.tls, client.tls), limits };
    contexts.set(client, made);
    return made;
  };
  const plain: SessionContext = { ...own, of };
  return plain;
}

/** What is given; an explicit undefined is not. */
function defined<T extends object>(values: T | undefined): Partial<T> {
  return Object.fromEntries(Object.entries(values ?? {}).filter(([, value]) => value !== undefined)) as Partial<T>;
}
