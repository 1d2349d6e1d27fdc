/** Bounds of what one device can make the relay do: for the whole relay, and where a listener or a client differs. */
import { readRate } from "../values.ts";
import { z } from "./engine.ts";
import { about, duration, integer, orNone, size, text } from "./fields.ts";

/** Messages or recipients in a time. */
export const rate = () => text(readRate, "rate", "a number in a time such as 120/min, 1000/h or 20000/d", "^[0-9]{1,7}/(s|min|h|d)$");

const KEYS = {
  sessions_per_device: {
    field: () => integer(1, 10_000),
    default: 20,
    description: "Sessions of one device (IPv6: of one /64) at a time. Further connections wait for a place, then 421 4.3.2.",
  },
  handshakes_per_device: {
    field: () => integer(1, 10_000),
    default: 10,
    description: "TLS handshakes of one device at a time; further ones wait.",
  },
  wait: {
    field: () => duration("1s", "5m"),
    default: "20s",
    description: "How long a connection waits for a place among its device's sessions.",
  },
  handshake: { field: () => duration("1s", "10m"), default: "30s", description: "Longest TLS handshake." },
  idle: {
    field: () => duration("10s", "1d"),
    default: "5m",
    description: "Longest silence between whole commands, and within a message. RFC 5321 asks for five minutes.",
  },
  session: {
    field: () => duration("1m", "365d"),
    default: "1d",
    description: "Longest session; a message that is coming in is taken to its end.",
  },
  min_data_rate: {
    field: () => orNone(size("1KiB", "1GiB")),
    default: "1KiB",
    description: "What must come of a message in a minute, measured over the time of idle; none: any trickle is waited for.",
  },
  commands: {
    field: () => integer(10, 1_000_000),
    default: 100,
    description: "Commands other than RCPT and DATA without an accepted message in between.",
  },
  unknown_commands: {
    field: () => integer(1, 1_000_000),
    default: 20,
    description: "Lines that are no command, without an accepted message in between.",
  },
  errors: { field: () => integer(1, 1_000_000), default: 1000, description: "Refused commands without an accepted message in between." },
  auth_failures: { field: () => integer(1, 1000), default: 3, description: "Wrong passwords in one session." },
  recipients: {
    field: () => integer(1, 1000),
    default: 1000,
    description: "Recipients of one message; the rest get 452 4.5.3, and devices send them in another message.",
  },
  hops: {
    field: () => integer(5, 1000),
    default: 50,
    description: "Received: fields; a message with more is going in circles, 554 5.4.6.",
  },
  header_size: { field: () => size("8KiB", "64MiB"), default: "256KiB", description: "Header of a message; larger ones get 552 5.3.4." },
  rate_delay: {
    field: () => duration("1s", "5m"),
    default: "5s",
    description: "How long a device over its rate is kept waiting before it gets 451 4.7.1.",
  },
} as const;

type Fields = { readonly [K in keyof typeof KEYS]: ReturnType<(typeof KEYS)[K]["field"]> };

const keysOf = Object.entries(KEYS);

/** The same keys, each optional: what is left out is as further up. */
function overrides(kept: (key: string) => boolean, above: string) {
  const fields = keysOf
    .filter(([key]) => kept(key))
    .map(
      ([key, { field, description }]) => [key, about(field().optional(), { description, default_text: above, apply: "reload" })] as const,
    );
  return z.strictObject(Object.fromEntries(fields) as unknown as { [K in keyof Fields]: z.ZodOptional<Fields[K]> });
}

function withDefaults() {
  const fields = keysOf.map(([key, { field, description, default: value }]) => [
    key,
    about((field() as z.ZodType).prefault(value), { description, apply: "reload" }),
  ]);
  return Object.fromEntries(fields) as unknown as { [K in keyof Fields]: z.ZodPrefault<Fields[K]> };
}

export const Limits = z.strictObject({
  sessions: about(integer(1, 1_000_000).prefault(1000), {
    description: "Sessions of the whole relay, then 421 4.3.2; as many more connections may wait for a place of their device.",
    apply: "reload",
  }),
  command_line: about(size("1KiB", "1MiB").prefault("16KiB"), {
    description: "Longest command line; longer ones get 500 5.5.2.",
    apply: "reload",
  }),
  proxy_header: about(duration("1s", "1m").prefault("5s"), {
    description: "Longest wait for a balancer's PROXY header.",
    apply: "reload",
  }),
  ...withDefaults(),
});

export const ListenerLimits = overrides(() => true, "as under limits");
export const ClientLimits = overrides(() => true, "as the listener has it");
