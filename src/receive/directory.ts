/**
 * Who may come in by one listener, and as whom: by address, by signing in, or by both.
 *
 * | the address belongs to | `auth: none` | `auth: offered` | `auth: required` |
 * |---|---|---|---|
 * | a client without users | let in | let in; a known user's right password makes the session that user's | let in once any user signed in |
 * | a client with users | refused | let in once one of its users signed in | the same |
 * | nobody | refused | let in once a user of a client without addresses signed in | the same |
 */
import { NetworkTable } from "./networks.ts";
import type { ClientOptions, ListenerAuth } from "./options.ts";

/** What an address may do on a listener, decided when it connects. */
export interface Standing {
  /** Whose rules hold without signing in; undefined: nothing is taken before. */
  readonly client: ClientOptions | undefined;
  /** The client that the address belongs to, whether somebody has to sign in besides or not. */
  readonly owner: ClientOptions | undefined;
  /** Undefined: credentials are neither asked for nor looked at. */
  readonly signIn: SignIn | undefined;
}

/** What signing in means for an address. */
export interface SignIn {
  /** Nothing is taken before. */
  readonly needed: boolean;
  /** Whose rules hold for a user from this address; undefined: this user may not come from here. */
  clientOf(user: string): ClientOptions | undefined;
}

/** An address that no client of the listener could match, and what the administrator may not expect about it. */
export interface NoStanding {
  readonly refused: true;
  readonly remedy: string | undefined;
}

export class Directory {
  readonly #auth: ListenerAuth;
  readonly #networks = new NetworkTable<ClientOptions>();
  readonly #byName = new Map<string, ClientOptions>();
  /** Users of clients that ask for no address. */
  readonly #anywhere = new Map<string, ClientOptions>();

  /** @throws Error for a network that cannot be read or is listed twice */
  constructor(listener: string, auth: ListenerAuth, clients: readonly ClientOptions[]) {
    this.#auth = auth;
    for (const client of clients) {
      if (client.listeners !== undefined && !client.listeners.includes(listener)) continue;
      this.#byName.set(client.name, client);
      for (const network of client.networks) this.#networks.add(network, client);
      if (client.anyAddress === true) for (const user of client.users ?? []) this.#anywhere.set(user, client);
    }
  }

  /** The client whose networks hold the address. */
  find(device: string): ClientOptions | undefined {
    return this.#networks.find(device);
  }

  named(client: string): ClientOptions | undefined {
    return this.#byName.get(client);
  }

  /** @param client - the one that the address belongs to */
  standing(client: ClientOptions | undefined): Standing | NoStanding {
    const asksForUsers = client?.users !== undefined && client.users.length > 0;
    if (this.#auth === "none") {
      if (client !== undefined && !asksForUsers) return { client, owner: client, signIn: undefined };
      const remedy = client === undefined ? undefined : `client ${client.name} needs one of its users, and this listener takes no sign-in`;
      return { refused: true, remedy };
    }
    if (client === undefined && this.#anywhere.size === 0) return { refused: true, remedy: undefined };
    const needed = client === undefined || asksForUsers || this.#auth === "required";
    const clientOf = (user: string): ClientOptions | undefined => {
      if (client?.users?.includes(user) === true) return client;
      const own = this.#anywhere.get(user);
      // The address is a client's by itself, and the listener wants to know who it is besides.
      return own ?? (this.#auth === "required" && !asksForUsers ? client : undefined);
    };
    return { client: needed ? undefined : client, owner: client, signIn: { needed, clientOf } };
  }
}
