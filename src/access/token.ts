/** What a token of the API is: 256 random bits behind a prefix that people and secret scanners know, and what is kept of it, which is only its hash. */
import { createHash, randomBytes } from "node:crypto";

/** What a caller may do, from little to all: look; act on mail and devices and see content; change configuration and tokens. */
export const ROLES = ["viewer", "operator", "administrator"] as const;
export type Role = (typeof ROLES)[number];

/** Whether somebody with the one role may do what needs the other. */
export function mayActAs(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** A token as it is kept and shown; times in ms since the epoch. */
export interface TokenView {
  readonly name: string;
  readonly role: Role;
  readonly createdAt: number;
  /** Who added it. */
  readonly createdBy: string;
  /** Absent: never. */
  readonly expiresAt?: number | undefined;
  /** The hour in which it was last used; absent: never. */
  readonly lastUsedAt?: number | undefined;
}

/** What the file holds of one. */
export interface TokenRecord extends TokenView {
  /** SHA-256 of the token in hexadecimal. Nobody can try 256 random bits, so a slow hash would only slow us down. */
  readonly hash: string;
}

const PREFIX = "postern_";
const TOKEN = /^postern_[A-Za-z0-9_-]{43}$/;
const TOKENS_INSIDE = /postern_[A-Za-z0-9_-]{20,}/g;
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;

/** What a name of a token has to look like, for messages. */
export const TOKEN_NAME_EXPECTED = "a name of letters, digits, - _ and . that starts with a letter or a digit, at most 63 characters";

/** The name stands in the log and the history as who acted. */
export function isTokenName(text: string): boolean {
  return NAME.test(text);
}

/** A new one. Shown to whoever asked for it, and then only its hash is known. */
export function makeToken(): string {
  return PREFIX + randomBytes(32).toString("base64url");
}

/** True for what could be one. */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/** The text without what might be a token in it. */
export function withoutTokens(text: string): string {
  return text.replace(TOKENS_INSIDE, `${PREFIX}***`);
}

/** As it is kept. */
export function hashToken(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** What may be shown of it. */
export function viewOf({ name, role, createdAt, createdBy, expiresAt, lastUsedAt }: TokenRecord): TokenView {
  return { name, role, createdAt, createdBy, expiresAt, lastUsedAt };
}

/** True for a record that makes sense. */
export function isTokenRecord(value: unknown): value is TokenRecord {
  if (typeof value !== "object" || value === null) return false;
  const { name, role, hash, createdAt, createdBy, expiresAt, lastUsedAt } = value as Readonly<Record<string, unknown>>;
  return (
    typeof name === "string" &&
    isTokenName(name) &&
    (ROLES as readonly unknown[]).includes(role) &&
    typeof hash === "string" &&
    /^[0-9a-f]{64}$/.test(hash) &&
    typeof createdAt === "number" &&
    typeof createdBy === "string" &&
    [expiresAt, lastUsedAt].every((time) => time === undefined || typeof time === "number")
  );
}
