/**
 * The scan of line-ends.ts as a WebAssembly function, written out instruction by instruction: 300 octets need no toolchain.
 *
 * With `here` 16 octets and `before` the 16 octets that start one earlier, a group needs a closer look where
 * `(here == LF) ^ (before == CR)` (one of the two without the other) or `(here == DOT) & (before == LF)` has a bit.
 */

/** Octets judged in one round. */
const GROUP = 32;
/** Octets that fit at a time: small enough to stay in the cache between being copied and being read. */
const CAPACITY = 64 * 1024;
/** Where they lie: aligned, with room for the octet before them. */
const BASE = 16;
const PAGES = CAPACITY / 65_536 + 1;

/** A place to put octets, and the search over them. */
export interface VectorScan {
  readonly group: number;
  readonly capacity: number;
  /** Copies octets `start` to `end` in, at most `capacity`. */
  load(block: Uint8Array, start: number, end: number, before: number): void;
  /** Of what was loaded: the start of the first group at or after `from` that needs a closer look; `to` or more when none does. */
  nextSuspect(from: number, to: number): number;
}

/** The part of WebAssembly that is used here; TypeScript knows it only together with the browser's world. */
interface WebAssemblyApi {
  readonly validate: (module: Uint8Array) => boolean;
  readonly Module: new (module: Uint8Array) => object;
  readonly Instance: new (module: object) => {
    readonly exports: { readonly memory: { readonly buffer: ArrayBuffer }; readonly scan: (from: number, to: number) => number };
  };
}

/** Makes one; undefined where the runtime has no vectors, or no address space to spare for a WebAssembly memory. */
export function openVectorScan(): VectorScan | undefined {
  // Absent where Node runs without a just-in-time compiler.
  const { WebAssembly: api } = globalThis as { readonly WebAssembly?: WebAssemblyApi };
  if (api === undefined || !api.validate(MODULE)) return undefined;
  let exports: InstanceType<WebAssemblyApi["Instance"]>["exports"];
  try {
    exports = new api.Instance(new api.Module(MODULE)).exports;
  } catch {
    // V8 reserves some GB of addresses for a memory, which `ulimit -v` can forbid. The scan by words needs none.
    return undefined;
  }
  const memory = new Uint8Array(exports.memory.buffer);
  const { scan } = exports;
  return {
    group: GROUP,
    capacity: CAPACITY,
    load: (block, start, end, before) => {
      memory[BASE - 1] = before;
      memory.set(start === 0 && end === block.length ? block : block.subarray(start, end), BASE);
    },
    nextSuspect: (from, to) => scan(BASE - 1 + from, BASE - 1 + to) - (BASE - 1),
  };
}

/** LEB128, as all numbers in a module are written. Constants of instructions are signed: those used here stay below 64. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...leb(content.length), ...content];
}

// Parameters and locals of the function, and the instructions that it is made of.
const [FROM, TO, LF, CR, DOT] = [0, 1, 2, 3, 4] as const;
const I32 = 0x7f;
const V128 = 0x7b;
const NO_RESULT = 0x40;
const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const constant = (value: number): number[] => [0x41, value];
const vector = (operation: number): number[] => [0xfd, ...leb(operation)];
const splat = (octet: number): number[] => [...constant(octet), ...vector(15)];
/** 16 octets at FROM + offset, aligned or not. */
const load = (offset: number): number[] => [...get(FROM), ...vector(0), 0, ...leb(offset)];
const equalTo = (local: number): number[] => [...get(local), ...vector(35)];
const XOR = vector(81);
const AND = vector(78);
const OR = vector(80);
const ANY_TRUE = vector(83);
const ADD = 0x6a;
const GREATER_OR_EQUAL = 0x4f;
const [LOOP, IF, END, BRANCH, RETURN, UNREACHABLE] = [0x03, 0x04, 0x0b, 0x0c, 0x0f, 0x00] as const;

/** A vector with a bit wherever one of 16 octets needs a closer look. FROM points to the octet before the group. */
function suspects(offset: number): number[] {
  const before = load(offset);
  const here = load(offset + 1);
  const alone = [...here, ...equalTo(LF), ...before, ...equalTo(CR), ...XOR];
  const dot = [...here, ...equalTo(DOT), ...before, ...equalTo(LF), ...AND];
  return [...alone, ...dot, ...OR];
}

const BODY = [
  [1, 3, V128], // three locals of one type: the octets to compare with, sixteen times each
  [...splat(0x0a), ...set(LF), ...splat(0x0d), ...set(CR), ...splat(0x2e), ...set(DOT)],
  [LOOP, NO_RESULT],
  [...get(FROM), ...get(TO), GREATER_OR_EQUAL, IF, NO_RESULT, ...get(TO), RETURN, END],
  [...suspects(0), ...suspects(16), ...OR, ...ANY_TRUE, IF, NO_RESULT, ...get(FROM), RETURN, END],
  [...get(FROM), ...constant(GROUP), ADD, ...set(FROM)],
  [BRANCH, 0, END],
  [UNREACHABLE, END],
].flat();

/** Exports `scan(from: i32, to: i32): i32` and the memory it works on. */
const MODULE = Uint8Array.from([
  ...Buffer.from("\0asm\u0001\0\0\0"),
  ...section(1, [1, 0x60, 2, I32, I32, 1, I32]),
  ...section(3, [1, 0]),
  ...section(5, [1, 0, PAGES]),
  ...section(7, [2, 6, ...Buffer.from("memory"), 2, 0, 4, ...Buffer.from("scan"), 0, 0]),
  ...section(10, [1, ...leb(BODY.length), ...BODY]),
]);
