/** The kinds of field that the sections are made of. */
import { z } from "./engine.ts";
import type { Read } from "../values.ts";
import {
  DURATION_PATTERN,
  readAddress,
  readDomain,
  readDuration,
  readEndpoint,
  readFqdn,
  readHost,
  readIp,
  readPattern,
  readSize,
  readSyslogAddress,
  SIZE_PATTERN,
} from "../values.ts";
import { readNetwork } from "../network.ts";

/** When a changed value takes effect. */
export type Apply = "reload" | "restart";

/** What every key says about itself; it becomes the JSON Schema and the reference page. */
export interface FieldMeta {
  readonly description: string;
  readonly apply?: Apply | undefined;
  /** Values as they are written; named so because zod drops `examples` of values that it transforms. */
  readonly samples?: readonly unknown[] | undefined;
  /** The default in words, where it follows from other keys. */
  readonly default_text?: string | undefined;
  /** What the value is, as the reference page calls it. */
  readonly kind?: string | undefined;
}

/** Everything said about a key when its value is wrong starts with this word, so that the value seen can follow. */
export function expected(what: string): string {
  return `expected ${what}`;
}

/** Text that a reader turns into a value. */
export function text<T>(read: (text: string) => Read<T>, kind: string, what: string, pattern?: string) {
  const base =
    pattern === undefined ? z.string({ error: () => expected(what) }) : z.string({ error: () => expected(what) }).meta({ pattern });
  return base
    .transform((value, context): T => {
      const result = read(value);
      if ("value" in result) return result.value;
      context.issues.push({ code: "custom", message: expected(result.expected), input: value });
      return z.NEVER;
    })
    .meta({ kind });
}

/** One or a list of `item`; the value is always a list. */
export function listOf<T extends z.ZodType>(item: T) {
  return z
    .union([item, z.array(item)])
    .transform((value): z.output<T>[] => (Array.isArray(value) ? (value as z.output<T>[]) : [value as z.output<T>]));
}

/** A span of time between two others, in ms. */
export function duration(shortest: string, longest: string) {
  return text(
    (value) => within(value, readDuration, shortest, longest),
    "duration",
    "a duration such as 30s, 5m, 4h or 2d",
    DURATION_PATTERN,
  );
}

/** A size between two others, in octets. */
export function size(smallest: string, largest: string) {
  return text((value) => within(value, readSize, smallest, largest), "size", "a size such as 64KiB, 35MiB or 2GiB", SIZE_PATTERN);
}

function within(value: string, read: (text: string) => Read<number>, least: string, most: string): Read<number> {
  const result = read(value);
  if ("expected" in result) return result;
  const low = read(least);
  const high = read(most);
  if ("value" in low && "value" in high && (result.value < low.value || result.value > high.value))
    return { expected: `${least} to ${most}` };
  return result;
}

/** A whole number between two others. */
export function integer(least: number, most: number) {
  const what = expected(`a whole number from ${least} to ${most}`);
  return z
    .int({ error: () => what })
    .min(least, { error: () => what })
    .max(most, { error: () => what })
    .meta({ kind: "number" });
}

export function boolean() {
  return z.boolean({ error: () => expected("true or false") }).meta({ kind: "true or false" });
}

/** One of some words. */
export function oneOf<const T extends readonly [string, ...string[]]>(words: T) {
  return z
    .enum(words, { error: () => expected(`one of: ${words.join(", ")}`) })
    .meta({ kind: words.map((word) => `\`${word}\``).join(", ") });
}

/** A word that stands for "not at all", else a value of `field`. The word becomes undefined. */
export function orWord<const W extends string, T extends z.ZodType>(word: W, field: T) {
  return z
    .union([z.literal(word), field])
    .transform((value): Exclude<z.output<T>, W> | undefined => (value === word ? undefined : (value as Exclude<z.output<T>, W>)));
}

/** `none`, else a value of `field`. The word stays, where leaving the key out means something else. */
export function orNone<T extends z.ZodType>(field: T) {
  return z.union([z.literal("none"), field]);
}

/** Free text on one line. */
export function line(kind: string, what: string, longest = 255) {
  return text((value) => (value === "" || value.length > longest || /\p{Cc}/u.test(value) ? { expected: what } : { value }), kind, what);
}

/** A path; relative ones start at the folder of the file. */
export function path() {
  return line("path", "a path", 4096);
}

export const host = () => text(readHost, "host name or IP address", "a host name or an IP address, without a port");
export const fqdn = () => text(readFqdn, "host name", "a full host name such as relay.contoso.com");
export const domain = () => text(readDomain, "domain", 'a domain such as contoso.com, or "*.contoso.com" for its subdomains');
export const address = () => text(readAddress, "address", "an address with a domain such as it@contoso.com");
export const pattern = () => text(readPattern, "address pattern", "an address, *@domain, *@*.domain, or one of: any, internal, external");
export const endpoint = () => text(readEndpoint, "address:port", 'an address and a port such as ":25", "0.0.0.0:587" or "[::]:25"');
export const syslogAddress = () =>
  text(readSyslogAddress, "syslog address", "an address such as udp://192.0.2.5, tcp://…, tls://… or unix:/dev/log");
export const ip = () => text(readIp, "IP address", "an IP address");
export const port = () => integer(1, 65_535);

export const network = () =>
  text(
    (value): Read<string> => {
      const result = readNetwork(value);
      return "value" in result ? { value: result.value.text } : result;
    },
    "network",
    'a network such as 10.20.0.0/16 or "fd00:20::/32", or a single address',
  );

/** Name of a listener, client, upstream or route: it is a metric label and a word on command lines. */
export const NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$";
export const NAME_EXPECTED = expected("a name of letters, digits, - and _ that starts with a letter or a digit, at most 63 characters");
export const name = () =>
  z
    .string({ error: () => NAME_EXPECTED })
    .regex(new RegExp(NAME_PATTERN), { error: () => NAME_EXPECTED })
    .meta({ kind: "name" });

/** Name of a user as devices send it: often an address. Exact, upper and lower case differ. */
export const USER_EXPECTED = expected("a user name of 1 to 128 printable ASCII characters without spaces, quotes and backslashes");
export const userName = () =>
  z
    .string({ error: () => USER_EXPECTED })
    .regex(/^[A-Za-z0-9!#$%&()*+,./:;<=>?@[\]^_{|}~-]{1,128}$/, { error: () => USER_EXPECTED })
    .meta({ kind: "user name" });

/** Where a secret is. A literal is refused, and never shown. */
export const SECRET_EXPECTED = expected(
  "a reference to the secret: { file: PATH }, { env: VARIABLE } or { credential: NAME }, never the secret itself",
);
export function secret() {
  return z
    .union(
      [
        z.strictObject({ file: path().meta({ description: "File whose content is the secret; one line end after it is dropped." }) }),
        z.strictObject({
          env: z
            .string({ error: () => SECRET_EXPECTED })
            .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, { error: () => SECRET_EXPECTED })
            .meta({ description: "Environment variable that holds the secret." }),
        }),
        z.strictObject({
          credential: z
            .string({ error: () => SECRET_EXPECTED })
            .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/, { error: () => SECRET_EXPECTED })
            .meta({ description: "File in systemd's $CREDENTIALS_DIRECTORY (LoadCredential=)." }),
        }),
      ],
      { error: () => SECRET_EXPECTED },
    )
    .meta({ kind: "secret reference" });
}

/** Attaches what a key says about itself; keeps what the kind of field said before. */
export function about<T extends z.ZodType>(field: T, meta: FieldMeta): T {
  return field.meta({ ...field.meta(), ...meta });
}
