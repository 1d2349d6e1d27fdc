import { expect, test } from "vitest";
import { hashPassword, verifyPassword } from "./password.ts";

test("a hash names its parameters, has a salt of its own, and fits its password only", async () => {
  const [first, second] = await Promise.all([hashPassword("correct horse"), hashPassword("correct horse")]);

  expect(first).toMatch(/^scrypt\$ln=15,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  expect(first).not.toBe(second);
  expect(await verifyPassword("correct horse", first)).toBe(true);
  expect(await verifyPassword("correct horse", second)).toBe(true);
  expect(await verifyPassword("correct horse ", first)).toBe(false);
});

test("a hash with other parameters is verified with those: RFC 7914's second vector", async () => {
  // N=1024, r=8, p=16; the salt is "NaCl" there, too short for our form, so ours is derived anew in the same way.
  const { scryptSync } = await import("node:crypto");
  const salt = Buffer.from("0123456789abcdef");
  const key = scryptSync("password", salt, 32, { N: 1024, r: 8, p: 16 });
  const text = (octets: Buffer) => octets.toString("base64").replace(/=+$/, "");

  expect(await verifyPassword("password", `scrypt$ln=10,r=8,p=16$${text(salt)}$${text(key)}`)).toBe(true);
});

test("a password is the same in every Unicode normal form", async () => {
  expect(await verifyPassword("cafe\u0301", await hashPassword("caf\u00e9"))).toBe(true);
});

test.each([
  "",
  "plain",
  "scrypt$",
  "scrypt$ln=30,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
  "scrypt$ln=0,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
])("%j is no hash that is tried", async (hash) => {
  expect(await verifyPassword("x", hash)).toBe(false);
});

test("an empty password and one without bound are not hashed", async () => {
  await expect(hashPassword("")).rejects.toThrow(RangeError);
  await expect(hashPassword("x".repeat(1025))).rejects.toThrow(RangeError);
});
