/**
 * The part of the Metadata Reflection API that @peculiar/x509 asks for before it loads; it leaves the choice of a polyfill to us.
 * Import this file before the library.
 */

interface MetadataReflection {
  defineMetadata?: (key: unknown, value: unknown, target: object) => void;
  getOwnMetadata?: (key: unknown, target: object) => unknown;
  getMetadata?: (key: unknown, target: object) => unknown;
}

const known = new WeakMap<object, Map<unknown, unknown>>();
const reflection = Reflect as MetadataReflection;

reflection.defineMetadata ??= (key, value, target) => {
  let entries = known.get(target);
  if (entries === undefined) known.set(target, (entries = new Map()));
  entries.set(key, value);
};
reflection.getOwnMetadata ??= (key, target) => known.get(target)?.get(key);
reflection.getMetadata ??= (key, target) => {
  let holder: object | null = target;
  while (holder !== null) {
    const value = known.get(holder)?.get(key);
    if (value !== undefined) return value;
    holder = Object.getPrototypeOf(holder) as object | null;
  }
  return undefined;
};
