/**
 * The three functions of the Metadata Reflection API that @peculiar/x509's dependency injection asks for. Without them that library
 * refuses to load; it leaves the choice of a polyfill to us. Import this file before the library.
 */

type Metadata = Map<unknown, unknown>;

interface MetadataReflection {
  defineMetadata?: (key: unknown, value: unknown, target: object) => void;
  getOwnMetadata?: (key: unknown, target: object) => unknown;
  getMetadata?: (key: unknown, target: object) => unknown;
}

const metadata = new WeakMap<object, Metadata>();
const reflection = Reflect as MetadataReflection;

reflection.defineMetadata ??= (key, value, target) => {
  const known = metadata.get(target) ?? new Map<unknown, unknown>();
  known.set(key, value);
  metadata.set(target, known);
};

reflection.getOwnMetadata ??= (key, target) => metadata.get(target)?.get(key);

reflection.getMetadata ??= (key, target) => {
  for (let holder: object | null = target; holder !== null; holder = Object.getPrototypeOf(holder) as object | null) {
    const value = metadata.get(holder)?.get(key);
    if (value !== undefined) return value;
  }
  return undefined;
};
