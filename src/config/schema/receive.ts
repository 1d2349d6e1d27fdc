/** Where mail comes in, and from whom it is taken. */
import { PRIORITIES } from "../../mail/message.ts";
import { z } from "./engine.ts";
import { isPasswordHash } from "../password.ts";
import { readMoment } from "../values.ts";
import {
  about,
  address,
  boolean,
  duration,
  endpoint,
  host,
  listOf,
  name,
  network,
  oneOf,
  orNone,
  path,
  pattern,
  secret,
  size,
  text,
  userName,
} from "./fields.ts";
import { ClientLimits, ListenerLimits, rate } from "./limits.ts";

export const TLS_MODES = ["none", "opportunistic", "required", "implicit"] as const;

const TLS_VERSIONS = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const;

/** Sizes of messages: at most 1 GiB, where the numbering of stored content ends. */
export const messageSize = () => size("1KiB", "1GiB");

const HASH_EXPECTED = "a line that postern hash-password printed, scrypt$ln=…";

const ListenerTls = z.strictObject({
  mode: about(oneOf(TLS_MODES).prefault("opportunistic"), {
    description:
      "none: no TLS is offered; opportunistic: STARTTLS is offered; required: nothing but STARTTLS before TLS; implicit: TLS from the first byte.",
    apply: "reload",
  }),
  certificate: about(listOf(path()).prefault([]), {
    description:
      "Certificate with its chain, PEM, leaf first. A list for certificates of different key types side by side, RSA and ECDSA: each device gets the one that it can use. Goes together with key. The files are watched: a new pair that fits is taken without a restart.",
    default_text: "a self-made RSA certificate with the host name, kept in data_dir",
    samples: ["certs/relay.pem", ["certs/relay-rsa.pem", "certs/relay-ecdsa.pem"]],
    apply: "reload",
  }),
  key: about(listOf(path()).prefault([]), {
    description: "Private key of the certificate, PEM, without a passphrase; in the same order where there are several.",
    samples: ["certs/relay.key"],
    apply: "reload",
  }),
  pfx: about(path().optional(), {
    description: "Instead of certificate and key: both, and the chain, in a PKCS #12 file (.pfx, .p12).",
    samples: ["certs/relay.pfx"],
    apply: "reload",
  }),
  passphrase: about(secret().optional(), { description: "Passphrase of the PKCS #12 file.", apply: "reload" }),
  min_version: about(oneOf(TLS_VERSIONS).prefault("TLSv1.2"), {
    description:
      "Oldest version that is accepted. TLSv1 and TLSv1.1 also allow the old ciphers that such devices speak: better for a client of their own (clients.NAME.tls) than for everybody.",
    apply: "reload",
  }),
});

/** Keywords of EHLO that can be hidden; as in `receive/quirks.ts`, which cannot be read from here. */
const HIDEABLE_KEYWORDS = ["SIZE", "PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"] as const;

/** The same for a listener and for a client; the client's word goes first. */
const Quirks = z.strictObject({
  auth: about(oneOf(["hide", "offer"]).optional(), {
    description:
      "offer: EHLO says AUTH LOGIN PLAIN, for devices that send a password only when they are asked for one; any will do, none is kept. Credentials are accepted either way.",
    default_text: "the listener's, else hide",
    apply: "reload",
  }),
  auth_equals: about(boolean().optional(), {
    description: "Where AUTH is offered, also says AUTH=LOGIN PLAIN, as devices older than RFC 2554 read it. Confuses others.",
    default_text: "the listener's, else false",
    apply: "reload",
  }),
  ehlo_hide: about(listOf(oneOf(HIDEABLE_KEYWORDS)).optional(), {
    description: "Keywords that EHLO leaves out, for devices that use one of them badly. STARTTLS is hidden by tls.mode: none.",
    default_text: "the listener's, else none",
    samples: [["PIPELINING", "SMTPUTF8"]],
    apply: "reload",
  }),
  lenient_end_of_data: about(boolean().optional(), {
    description:
      "true: a dot between bare line feeds ends a message too, for devices that never send CR LF . CR LF. Only for a device that writes all of its mail itself: in mail of others a dot alone could start commands of theirs.",
    default_text: "the listener's, else false",
    apply: "reload",
  }),
  suppress_repeats_within: about(orNone(duration("1s", "1d")).optional(), {
    description:
      "A message that is octet for octet one of this span, from the same address with the same sender and recipients, is answered with 250 and not delivered again: for devices that give up on our answer too early and send anew.",
    default_text: "the listener's, else none",
    samples: ["10m"],
    apply: "reload",
  }),
});

const QUIRKS_FIELD = { description: "What this needs beyond the defaults, for devices that nobody can repair.", apply: "reload" } as const;

const Listener = z.strictObject({
  listen: about(listOf(endpoint()), {
    description:
      'Address and port, or a list of them. ":25" is every address, IPv4 and IPv6; "[::]:25" is IPv6 only. Port 0 takes a free one.',
    samples: [":25", ["0.0.0.0:25", "[::]:25"]],
    apply: "reload",
  }),
  tls: about(ListenerTls.optional(), {
    description: "TLS of this listener. Without it none is offered.",
    default_text: "mode none",
    apply: "reload",
  }),
  proxy_protocol: about(listOf(network()).prefault([]), {
    description:
      "Networks of balancers that put a PROXY header (version 1 or 2) before each connection: the address in it is the device's then. From these a header is demanded, of others it is never believed.",
    samples: [["10.20.0.250", "10.20.0.251"]],
    default_text: "none",
    apply: "reload",
  }),
  limits: about(ListenerLimits.optional(), { description: "Limits that differ from those of the relay.", default_text: "as under limits" }),
  auth: about(oneOf(["none", "offered", "required"]).prefault("none"), {
    description:
      "Signing in. none: devices are let in by their address, and whatever credentials they send pass and are forgotten; offered: EHLO says AUTH, users may sign in, devices of listed addresses need not; required: nothing is taken before a user signed in.",
    apply: "reload",
  }),
  auth_without_tls: about(boolean().prefault(false), {
    description: "Take passwords without TLS too: everybody on the way can read them.",
    apply: "reload",
  }),
  quirks: about(Quirks.optional(), { ...QUIRKS_FIELD, default_text: "none" }),
});

export const Listeners = z.record(
  name(),
  about(Listener, { description: "An address and port that speaks SMTP. Its name is a metric label." }),
);

const Learn = z.strictObject({
  networks: about(listOf(network()).optional(), {
    description: "Where unknown addresses are let in. Afterwards only those stay that were added with postern devices allow.",
    default_text: "the client's networks, whose devices are let in anyway and then listed as learned",
    samples: ["10.20.0.0/16"],
    apply: "reload",
  }),
  until: about(text(readMoment, "time", "a time such as 2026-12-01T12:00"), {
    description:
      "When learning ends, in organization.time_zone; at most two hours ahead. Where it is further ahead, as on a machine whose clock is behind, nobody is let in by it.",
    samples: ["2026-12-01T12:00"],
    apply: "reload",
  }),
});

const ClientTls = z.strictObject({
  mode: about(oneOf(["none", "opportunistic", "required"]).optional(), {
    description: "What these devices are offered instead of the listener's mode. On an implicit listener TLS comes first for everybody.",
    default_text: "the listener's",
    apply: "reload",
  }),
  min_version: about(oneOf(TLS_VERSIONS).optional(), {
    description: "Oldest version that is accepted of these devices.",
    default_text: "the listener's",
    apply: "reload",
  }),
});

const Client = z.strictObject({
  networks: about(listOf(network()).prefault([]), {
    description:
      "Networks and single addresses of these devices. The longest prefix wins. Bits beyond the prefix must be zero, and one prefix belongs to one client of a listener.",
    samples: [["10.20.0.0/16", "fd00:20::/32"]],
    apply: "reload",
  }),
  hosts: about(listOf(host()).prefault([]), {
    description:
      "Names of devices whose address DHCP gives. An address counts as a name's while the DNS says so (A and AAAA of exactly this name, looked up every minute); what networks name goes first.",
    samples: [["npi65e56.corp.local"]],
    apply: "reload",
  }),
  learn: about(Learn.optional(), {
    description: "For a short time unknown addresses are let in and listed, so that the devices of a site need not be typed in.",
    default_text: "no learning",
    apply: "reload",
  }),
  users: about(listOf(userName()).prefault([]), {
    description:
      "Users of whom one has to sign in. With networks, hosts or learn both are needed; without, these users may come from any address. Only on listeners with auth.",
    samples: [["sap"]],
    apply: "reload",
  }),
  listeners: about(listOf(name()).optional(), {
    description: "Names of the listeners where these devices are let in.",
    default_text: "all listeners",
    samples: [["printers"]],
    apply: "reload",
  }),
  senders: about(listOf(pattern()).prefault(["internal"]), {
    description:
      'Who they may send as: addresses, "*@contoso.com", "*@*.contoso.com", or any, internal, external. Checked on the envelope and on From:.',
    samples: [["*@contoso.com"], "any"],
    apply: "reload",
  }),
  fallback_sender: about(address().optional(), {
    description: "Sender for mail of these devices that has none that works outside.",
    default_text: "organization.default_sender",
    samples: ["scans@contoso.com"],
    apply: "reload",
  }),
  recipients: about(listOf(pattern()).prefault(["internal"]), {
    description: "Whom they may write to; patterns as in senders.",
    samples: ["any", ["internal", "orders@example.com"]],
    apply: "reload",
  }),
  max_message_size: about(messageSize().prefault("33MiB"), { description: "Larger messages are refused with 552.", apply: "reload" }),
  rate: about(orNone(rate()).prefault("none"), {
    description:
      "Messages of each device, or each user who signed in: so many at once, then evenly. Over it a device waits at first (limits.rate_delay), then gets 451 4.7.1.",
    samples: ["120/min"],
    apply: "reload",
  }),
  recipient_rate: about(orNone(rate()).prefault("none"), {
    description: "Recipients of each device or user, likewise.",
    samples: ["2000/h"],
    apply: "reload",
  }),
  limits: about(ClientLimits.optional(), {
    description: "Limits that differ from those of the listener.",
    default_text: "as the listener has them",
  }),
  tls: about(ClientTls.optional(), {
    description: "TLS of these devices where it differs from the listener's, on the same port.",
    default_text: "the listener's",
    apply: "reload",
  }),
  priority: about(oneOf(PRIORITIES).prefault("normal"), {
    description:
      "Whose mail goes first by an upstream whose limits make mail wait: interactive (somebody waits beside the scanner) ahead of normal ahead of bulk (statements, newsletters). They take turns, so that bulk is never starved; when little is left of a day's recipients, bulk waits for the rest.",
    apply: "reload",
  }),
  quirks: about(Quirks.optional(), { ...QUIRKS_FIELD, default_text: "the listener's" }),
  allow_public: about(boolean().prefault(false), {
    description: "Must be true when a public network wider than /24 (IPv6 /48) is listed: everybody in it may send through this relay.",
    apply: "reload",
  }),
});

const User = z.strictObject({
  password_hash: about(
    text((value) => (isPasswordHash(value) ? { value } : { expected: HASH_EXPECTED }), "password hash", HASH_EXPECTED),
    { description: "What postern hash-password prints for the password (scrypt).", apply: "reload" },
  ),
});

export const Users = z.record(
  userName(),
  about(User, { description: "Somebody who may sign in. What a user may do is up to the client that lists it under users." }),
);

export const Clients = z.record(name(), about(Client, { description: "A group of devices with one policy." }));
