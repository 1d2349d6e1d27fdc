/** What must agree about signing in: users, the clients that list them, the listeners where they may. */
import { error, unknownName, warning } from "./disagreement.ts";
import type { Disagreement } from "./disagreement.ts";
import type { Readable } from "./readable.ts";

export function* userDisagreements(file: Readable): Generator<Disagreement> {
  yield* listeners(file);
  yield* clients(file);
  yield* routes(file);
  yield* unlisted(file);
}

function* listeners({ listeners: all, users }: Readable): Generator<Disagreement> {
  for (const [name, { auth, auth_without_tls: readable, tls }] of Object.entries(all)) {
    const path = ["listeners", name];
    if (auth === "none") {
      if (readable) yield error([...path, "auth_without_tls"], "expected auth: offered or auth: required with it");
      continue;
    }
    if (!readable && (tls?.mode ?? "none") === "none")
      yield error(
        [...path, "auth"],
        "expected tls on a listener with auth: passwords are not taken where everybody can read them. If they may be readable, add auth_without_tls: true",
      );
    if (readable && tls?.mode !== "implicit")
      yield warning([...path, "auth_without_tls"], "everybody on the way to this listener can read passwords");
    if (auth === "required" && users !== undefined && Object.keys(users).length === 0)
      yield error([...path, "auth"], "expected at least one of users: nobody could sign in");
  }
}

function* clients(file: Readable): Generator<Disagreement> {
  /** By listener and user, the client without addresses that came first. */
  const anywhere = new Map<string, string>();
  const known = file.users === undefined ? undefined : Object.keys(file.users);
  for (const [name, client] of Object.entries(file.clients)) {
    const path = ["clients", name, "users"];
    if (client.users.length === 0) continue;
    for (const [index, user] of client.users.entries()) {
      if (known !== undefined && !known.includes(user)) yield unknownName([...path, index], "a user", user, known);
      if (client.users.indexOf(user) !== index) yield error([...path, index], `${user} is listed twice`);
    }
    const where = client.listeners ?? file.names.listeners ?? [];
    const listed = where.flatMap((listener) => file.listeners[listener] ?? []);
    if (listed.length > 0 && listed.length === where.length && listed.every(({ auth }) => auth === "none"))
      yield error(path, "expected a listener with auth: required or offered: on those of this client nobody can sign in");
    if (client.networks.length > 0 || client.hosts.length > 0 || client.learn !== undefined) continue;
    for (const [index, user] of client.users.entries()) {
      const owner = where.map((listener) => anywhere.get(`${listener} ${user}`)).find((other) => other !== undefined && other !== name);
      if (owner !== undefined)
        yield error(
          [...path, index],
          `${user} already belongs to client ${owner}, which asks for no address either: it must be clear whose rules hold`,
        );
      for (const listener of where) anywhere.set(`${listener} ${user}`, name);
    }
  }
}

function* routes(file: Readable): Generator<Disagreement> {
  if (file.users === undefined) return;
  const known = Object.keys(file.users);
  for (const [index, route] of file.routes.entries()) {
    for (const [position, user] of (route?.match?.user ?? []).entries()) {
      if (!known.includes(user)) yield unknownName(["routes", index, "match", "user", position], "a user", user, known);
    }
  }
}

/** A user whom nobody lists can sign in only where an address is enough for the rest. */
function* unlisted(file: Readable): Generator<Disagreement> {
  const clientsOf = Object.values(file.clients);
  if (clientsOf.length !== file.names.clients?.length) return;
  const byAddress = clientsOf.some((client) => {
    const where = client.listeners ?? file.names.listeners ?? [];
    return client.users.length === 0 && where.some((listener) => file.listeners[listener]?.auth === "required");
  });
  if (byAddress) return;
  for (const user of Object.keys(file.users ?? {})) {
    if (!clientsOf.some(({ users }) => users.includes(user)))
      yield warning(["users", user], "no client lists this user: it can send nothing");
  }
}
