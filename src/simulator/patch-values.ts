/** Values of a patch to the tenant, read strictly: each gives the value or says what is expected. */

/** A patch that cannot be applied; the message says which key and what is expected. */
export class PatchFault extends Error {}

/** An object of the patch. */
export type Json = Readonly<Record<string, unknown>>;
/** What is done once the whole patch was found good. */
export type Change = () => void;

/** An object. */
export function object(value: unknown, key: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw new PatchFault(`${key}: expected an object`);
}

/** True or false. */
export function boolean(value: unknown, key: string): boolean {
  if (typeof value === "boolean") return value;
  throw new PatchFault(`${key}: expected true or false`);
}

/** A text of at most 4,096 characters. */
export function text(value: unknown, key: string): string {
  if (typeof value === "string" && value.length <= 4096) return value;
  throw new PatchFault(`${key}: expected a text`);
}

/** A list of texts. */
export function texts(value: unknown, key: string): string[] {
  if (Array.isArray(value) && value.length <= 1000) return value.map((entry) => text(entry, key));
  throw new PatchFault(`${key}: expected a list of texts`);
}

/** A whole number above 0. */
export function count(value: unknown, key: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
  throw new PatchFault(`${key}: expected a whole number above 0`);
}

/** A time, as ms since the epoch. */
export function time(value: unknown, key: string): number {
  const ms = Date.parse(text(value, key));
  if (Number.isNaN(ms)) throw new PatchFault(`${key}: expected a time such as 2027-03-01T00:00:00Z`);
  return ms;
}

/** One of several words. */
export function oneOf<T extends string>(value: unknown, key: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (found !== undefined) return found;
  throw new PatchFault(`${key}: expected ${allowed.join(", ")}`);
}

/** A domain name, in lower case. */
export function domain(value: unknown, key: string): string {
  const name = text(value, key).toLowerCase().replace(/\.$/, "");
  if (name.length <= 253 && /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) return name;
  throw new PatchFault(`${key}: expected a domain name such as contoso.com`);
}

/** A whole number, 0 included. */
export function whole(value: unknown, key: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new PatchFault(`${key}: expected a whole number`);
}
