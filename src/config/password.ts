/** Password hashes that can stand in a configuration file: scrypt, with its parameters in the text. */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/** 32 MiB and about 0.1 s for each guess (RFC 7914 section 2 names the parameters). */
const COST = { logN: 15, r: 8, p: 1 } as const;
const SALT_OCTETS = 16;
const KEY_OCTETS = 32;
/** A hash from a file must not make us allocate without bound: 128 MiB. */
const MAX_MEMORY_OCTETS = 128 * 2 ** 20;
const MAX_PASSWORD_OCTETS = 1024;

const FORM = /^scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})\$([A-Za-z0-9+/]{22,88})\$([A-Za-z0-9+/]{43,88})$/;

/**
 * Hashes a password with a fresh salt: `scrypt$ln=15,r=8,p=1$SALT$KEY`, salt and key in base64 without padding.
 *
 * @throws RangeError for an empty password, or one over 1,024 octets
 */
export async function hashPassword(password: string): Promise<string> {
  const octets = Buffer.byteLength(password);
  if (octets === 0 || octets > MAX_PASSWORD_OCTETS) throw new RangeError("a password has 1 to 1024 octets");
  const salt = randomBytes(SALT_OCTETS);
  const key = await derive(password, salt, KEY_OCTETS, COST.logN, COST.r, COST.p);
  return `scrypt$ln=${COST.logN},r=${COST.r},p=${COST.p}$${base64(salt)}$${base64(key)}`;
}

/** Parameters of a hash. */
interface Parsed {
  readonly logN: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Buffer;
  readonly key: Buffer;
}

/** Undefined for a text that is no hash of ours, or asks for more than 128 MiB or too much time. */
function parse(hash: string): Parsed | undefined {
  const match = FORM.exec(hash);
  if (match === null) return undefined;
  const [logN, r, p] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (Math.min(logN, r, p) < 1 || memoryOf(logN, r) > MAX_MEMORY_OCTETS || p > 16) return undefined;
  return { logN, r, p, salt: Buffer.from(match[4] ?? "", "base64"), key: Buffer.from(match[5] ?? "", "base64") };
}

/** True for a hash that `verifyPassword` can check. */
export function isPasswordHash(text: string): boolean {
  return parse(text) !== undefined;
}

/** A hash that no password is known for and that takes as long to check as the given one: for users that there are not. */
export function decoyHash(hash: string): string {
  const { logN, r, p, key } = parse(hash) ?? { ...COST, key: Buffer.alloc(KEY_OCTETS) };
  return `scrypt$ln=${logN},r=${r},p=${p}$${base64(randomBytes(SALT_OCTETS))}$${base64(randomBytes(key.length))}`;
}

/** Whether the password has this hash. False for a text that is no hash of ours, or asks for more than 128 MiB. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const parsed = parse(hash);
  if (parsed === undefined || Buffer.byteLength(password) > MAX_PASSWORD_OCTETS) return false;
  const { logN, r, p, salt, key } = parsed;
  return timingSafeEqual(await derive(password, salt, key.length, logN, r, p), key);
}

function memoryOf(logN: number, r: number): number {
  return 128 * 2 ** logN * r;
}

function derive(password: string, salt: Buffer, length: number, logN: number, r: number, p: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // The same password typed on another system may come in another normal form.
    scrypt(password.normalize("NFC"), salt, length, { N: 2 ** logN, r, p, maxmem: 2 * MAX_MEMORY_OCTETS }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}

function base64(octets: Buffer): string {
  return octets.toString("base64").replace(/=+$/, "");
}
