/** What must agree between alerts by mail and the upstreams that they leave by. */
import { isInternalDomain, splitAddress } from "../mail/address.ts";
import { error, unknownName, warning } from "./disagreement.ts";
import type { Disagreement } from "./disagreement.ts";
import { servesOnlyInside } from "./agreement-upstreams.ts";
import type { Readable } from "./readable.ts";
import type { ParsedFile } from "./schema/index.ts";

type ParsedUpstream = ParsedFile["upstreams"][string];

export function* alertDisagreements(file: Readable): Generator<Disagreement> {
  const mail = file.alerts?.mail;
  if (mail === undefined) return;
  const path = ["alerts", "mail"];
  if (mail.to.length === 0) yield error([...path, "to"], "expected at least one address");
  if (mail.via?.length === 0) yield error([...path, "via"], "expected at least one upstream, or leave the key out for all");
  const known = file.names.upstreams;
  for (const [index, name] of (mail.via ?? []).entries()) {
    if (mail.via?.indexOf(name) !== index) yield error([...path, "via", index], `${name} is listed twice`);
    if (known !== undefined && !known.includes(name)) yield unknownName([...path, "via", index], "an upstream", name, known);
  }
  const names = mail.via ?? known ?? [];
  const doors = names.flatMap((name) => file.upstreams[name] ?? []);
  // Of a faulty upstream nothing is known.
  if (doors.length === 0 || doors.length < names.length) return;
  const { webhook, syslog } = file.alerts ?? {};
  const others = [...(webhook === undefined ? [] : ["webhook"]), ...(syslog === undefined ? [] : ["syslog"])];
  const advice = others.length > 0 ? `only ${others.join(" and ")} then` : "add a webhook, a syslog server or another upstream";
  const key = mail.via === undefined ? path : [...path, "via"];
  if (doors.length === 1)
    yield warning(key, `while upstream ${names[0] ?? ""} is closed nobody is told by mail, because no other one may carry it: ${advice}`);
  else if (new Set(doors.map(fateOf)).size === 1)
    yield warning(
      key,
      `all of these upstreams fail together, with one credential or one server (${names.join(", ")}), and then nobody is told by mail: ${advice}`,
    );
  const own = file.organization?.domains;
  if (own === undefined || !doors.every(servesOnlyInside)) return;
  for (const [index, address] of mail.to.entries()) {
    if (!isInternalDomain(splitAddress(address).domain, own))
      yield warning(
        [...path, "to", index],
        `is outside the organization, and none of the upstreams serves such recipients: ${names.join(", ")}`,
      );
  }
}

/** Upstreams that are equal in this fail together. */
function fateOf(upstream: ParsedUpstream): string {
  if (!("credential" in upstream) || upstream.credential === undefined) return JSON.stringify(upstream);
  const { credential } = upstream;
  if (credential.type === "password") return `password ${credential.username}`;
  return `${credential.type} ${credential.client_id ?? ""}`;
}
