/** What must agree between keys: references, overlaps, limits. The schema has checked each value by itself. */
import { alertDisagreements } from "./agreement-alerts.ts";
import { routeDisagreements } from "./agreement-routes.ts";
import { userDisagreements } from "./agreement-users.ts";
import { foreignDomain, upstreamDisagreements } from "./agreement-upstreams.ts";
import { error, unknownName, warning } from "./disagreement.ts";
import type { Disagreement } from "./disagreement.ts";
import { isWidePublic, readNetwork } from "./network.ts";
import type { KeyPath } from "./finding.ts";
import type { Endpoint } from "./config.ts";
import type { Readable } from "./readable.ts";
import { isLoopback } from "./values.ts";
import { matchesPatterns } from "../mail/address.ts";

/** All disagreements of a file, in no particular order. */
export function disagreements(file: Readable): Disagreement[] {
  return [
    ...emptySections(file),
    ...organization(file),
    ...listeners(file),
    ...endpoints(file),
    ...clients(file),
    ...networks(file),
    ...userDisagreements(file),
    ...upstreams(file),
    ...routeDisagreements(file),
    ...retry(file),
    ...alertDisagreements(file),
  ];
}

function* emptySections(file: Readable): Generator<Disagreement> {
  for (const section of ["listeners", "clients", "upstreams"] as const) {
    if (file.names[section]?.length === 0) yield error([section], "expected at least one");
  }
}

function* organization({ organization: own }: Readable): Generator<Disagreement> {
  if (own === undefined) return;
  const path = ["organization", "domains"];
  if (own.domains.length === 0) yield error(path, "expected at least one domain");
  if (own.domains[0]?.startsWith("*.") === true)
    yield error([...path, 0], "expected a plain domain first: it completes addresses without one");
  for (const [index, domain] of own.domains.entries()) {
    if (own.domains.indexOf(domain) !== index) yield warning([...path, index], `${domain} is listed twice`);
  }
  if (own.default_sender !== undefined) yield* foreignDomain(["organization", "default_sender"], own.default_sender, own.domains);
}

function* listeners(file: Readable): Generator<Disagreement> {
  for (const [name, { listen, tls, proxy_protocol }] of Object.entries(file.listeners)) {
    const path = ["listeners", name];
    for (const [index, text] of proxy_protocol.entries()) {
      const network = readNetwork(text);
      if (proxy_protocol.indexOf(text) !== index) yield error([...path, "proxy_protocol", index], `${text} is listed twice`);
      else if ("value" in network && isWidePublic(network.value))
        yield error(
          [...path, "proxy_protocol", index],
          `expected the addresses of balancers, not ${text}: whoever is in there could claim any address`,
        );
    }
    if (listen.length === 0) yield error([...path, "listen"], "expected at least one address and port");
    if (tls === undefined) continue;
    const given = { certificate: tls.certificate.length, key: tls.key.length };
    if (given.certificate > 0 && given.key === 0) yield error([...path, "tls", "certificate"], "expected a key with the certificate");
    else if (given.key > 0 && given.certificate === 0) yield error([...path, "tls", "key"], "expected a certificate with the key");
    else if (given.key !== given.certificate)
      yield error([...path, "tls", "key"], `expected as many keys as there are certificates (${given.certificate}), in the same order`);
    if (tls.pfx !== undefined && given.certificate + given.key > 0)
      yield error([...path, "tls", "pfx"], "expected either pfx, or certificate and key");
    if (tls.passphrase !== undefined && tls.pfx === undefined)
      yield error([...path, "tls", "passphrase"], "expected a pfx with it: keys of their own are read without a passphrase");
    if (tls.mode === "none" && (given.certificate > 0 || tls.pfx !== undefined) && !someoneUsesTls(name, file)) {
      yield error([...path, "tls", "mode"], "expected opportunistic, required or implicit, since there is a certificate");
    }
  }
}

/** A client may speak TLS where the listener by itself does not. */
function someoneUsesTls(listener: string, { clients: all }: Readable): boolean {
  return Object.values(all).some(
    ({ tls, listeners: own }) => tls?.mode !== undefined && tls.mode !== "none" && own?.includes(listener) !== false,
  );
}

/** Two sockets on one port exclude each other when the addresses are equal, or one of them is "every address" of the same family. */
function* endpoints(file: Readable): Generator<Disagreement> {
  const all: { path: KeyPath; endpoint: Endpoint }[] = Object.entries(file.listeners).flatMap(([name, { listen }]) =>
    listen.map((endpoint, index) => ({ path: ["listeners", name, "listen", index], endpoint })),
  );
  if (file.admin !== undefined) all.push({ path: ["admin", "listen"], endpoint: file.admin.listen });
  if (file.metrics?.listen !== undefined) all.push({ path: ["metrics", "listen"], endpoint: file.metrics.listen });
  for (const [index, later] of all.entries()) {
    const earlier = all.slice(0, index).find((one) => collide(one.endpoint, later.endpoint));
    if (earlier !== undefined)
      yield error(
        later.path,
        `${JSON.stringify(later.endpoint.text)} is taken by ${String(earlier.path[0])}.${String(earlier.path[1])}, which listens on ${JSON.stringify(earlier.endpoint.text)}`,
      );
  }
  if (file.admin !== undefined && file.admin.tls === undefined && !isLoopback(file.admin.listen.host)) {
    yield error(
      ["admin", "listen"],
      `expected a loopback address such as "127.0.0.1:8025", not ${JSON.stringify(file.admin.listen.text)}, or admin.tls: { certificate: FILE, key: FILE } with it: tokens must not cross the network in clear text. For monitoring alone use metrics.listen`,
    );
  }
}

function collide(a: Endpoint, b: Endpoint): boolean {
  if (a.port !== b.port || a.port === 0) return false;
  const [hostA, hostB] = [a.host, b.host];
  if (hostA === undefined || hostB === undefined || hostA === hostB) return true;
  if (hostA.includes(":") !== hostB.includes(":")) return false;
  return [hostA, hostB].some((host) => host === "0.0.0.0" || host === "::");
}

function* clients(file: Readable): Generator<Disagreement> {
  for (const [name, client] of Object.entries(file.clients)) {
    const path = ["clients", name];
    for (const key of ["senders", "recipients"] as const) {
      if (client[key].length === 0) yield error([...path, key], "expected at least one: with an empty list this client can send nothing");
    }
    if (
      client.networks.length === 0 &&
      client.hosts.length === 0 &&
      client.users.length === 0 &&
      (client.learn?.networks ?? []).length === 0
    )
      yield error([...path, "networks"], "expected at least one: with an empty list this client can never connect");
    yield* learning(name, client);
    yield* fallback(name, client, file.organization?.domains ?? []);
    const modes = (client.listeners ?? file.names.listeners ?? []).map((listener) => file.listeners[listener]?.tls?.mode ?? "none");
    if (client.tls?.mode !== undefined && modes.length > 0 && modes.every((mode) => mode === "implicit"))
      yield warning([...path, "tls", "mode"], "has no effect: on an implicit listener TLS comes first for everybody");
    if (client.tls?.min_version !== undefined && client.tls.mode === undefined && modes.every((mode) => mode === "none"))
      yield warning(
        [...path, "tls", "min_version"],
        "has no effect: none of the listeners of this client offers TLS, and tls.mode is not set",
      );
    if (client.listeners?.length === 0)
      yield error([...path, "listeners"], "expected at least one, or leave the key out for all listeners");
    for (const [index, listener] of (client.listeners ?? []).entries()) {
      const known = file.names.listeners;
      if (known !== undefined && !known.includes(listener)) yield unknownName([...path, "listeners", index], "a listener", listener, known);
    }
  }
  const all = Object.values(file.clients);
  const complete = all.length > 0 && all.length === file.names.clients?.length;
  for (const name of file.names.listeners ?? []) {
    if (complete && !all.some((client) => client.listeners === undefined || client.listeners.includes(name))) {
      yield warning(["listeners", name], "no client may use this listener: everybody is refused there");
    }
  }
}

/** What stands in for senders that cannot be used must itself be a sender that the client may use. */
function* fallback(
  name: string,
  { fallback_sender: own, senders }: Readable["clients"][string],
  domains: readonly string[],
): Generator<Disagreement> {
  if (own === undefined || domains.length === 0 || senders.length === 0 || matchesPatterns(own, senders, domains)) return;
  yield warning(
    ["clients", name, "fallback_sender"],
    `${own} is not among the senders of this client (${senders.slice(0, 5).join(", ")}): mail of devices without a sender of their own is refused. Add it to clients.${name}.senders, or correct it`,
  );
}

function* learning(name: string, { learn, allow_public }: Readable["clients"][string]): Generator<Disagreement> {
  if (learn === undefined) return;
  const path = ["clients", name, "learn"];
  for (const [index, text] of (learn.networks ?? []).entries()) {
    const network = readNetwork(text);
    if (!allow_public && "value" in network && isWidePublic(network.value))
      yield error(
        [...path, "networks", index],
        `${text} has public addresses and is too wide to let everybody in it send. If that is meant, add allow_public: true`,
      );
  }
}

function* networks(file: Readable): Generator<Disagreement> {
  /** By listener and prefix, the client that came first. */
  const owners = new Map<string, string>();
  for (const [name, client] of Object.entries(file.clients)) {
    const where = client.listeners ?? file.names.listeners ?? [];
    for (const [index, text] of client.networks.entries()) {
      const path = ["clients", name, "networks", index];
      if (client.networks.indexOf(text) !== index) {
        yield error(path, `${text} is listed twice`);
        continue;
      }
      for (const listener of where) {
        const owner = owners.get(`${listener} ${text}`);
        if (owner === undefined) {
          owners.set(`${listener} ${text}`, name);
          continue;
        }
        yield error(path, `${text} already belongs to client ${owner} on listener ${listener}`);
        break;
      }
      const network = readNetwork(text);
      if (!client.allow_public && "value" in network && isWidePublic(network.value)) {
        yield error(
          path,
          `${text} has public addresses and is wider than ${network.value.version === 4 ? "/24" : "/48"}: everybody in it could send. If that is meant, add allow_public: true`,
        );
      }
    }
  }
}

function* upstreams(file: Readable): Generator<Disagreement> {
  yield* upstreamDisagreements(file.upstreams, file.organization);
  if (!file.hasRoutes || file.routes.some((route) => route === undefined)) return;
  for (const name of file.names.upstreams ?? []) {
    // One for alerts alone is what somebody asked for.
    const used = file.routes.some((route) => route?.via.includes(name)) || file.alerts?.mail?.via?.includes(name) === true;
    if (!used) yield warning(["upstreams", name], "no route uses this upstream");
  }
}

function* retry({ retry: own }: Readable): Generator<Disagreement> {
  if (own === undefined) return;
  if (own.max < own.first) yield error(["retry", "max"], "expected at least retry.first");
  if (own.expire_after < own.first) yield error(["retry", "expire_after"], "expected at least retry.first");
}
