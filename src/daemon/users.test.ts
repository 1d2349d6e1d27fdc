import { expect, test } from "vitest";
import { hashPassword } from "../config/password.ts";
import { ManualClock } from "../platform/clock.ts";
import { Users } from "./users.ts";

test("a password is checked against its user's hash, remembered for ten minutes, and forgotten when users change", async () => {
  const clock = new ManualClock();
  const password_hash = await hashPassword("correct horse");
  const users = new Users({ sap: { password_hash } }, clock);

  expect(users.remembers("sap", "correct horse")).toBe(false);
  expect(await users.check("sap", "correct horse")).toBe(true);
  expect(await users.check("sap", "correct horsf")).toBe(false);
  expect(await users.check("nobody", "correct horse")).toBe(false);
  expect([users.isUser("sap"), users.isUser("nobody"), users.isUser("__proto__")]).toEqual([true, false, false]);

  expect([users.remembers("sap", "correct horse"), users.remembers("sap", "correct horsf")]).toEqual([true, false]);
  clock.advance(10 * 60_000);
  expect(users.remembers("sap", "correct horse")).toBe(false);

  await users.check("sap", "correct horse");
  users.update({ sap: { password_hash: await hashPassword("another") } });
  expect(users.remembers("sap", "correct horse")).toBe(false);
  expect(await users.check("sap", "correct horse")).toBe(false);
});

test("a password that a reload changed while it was checked opens nothing", async () => {
  const users = new Users({ sap: { password_hash: await hashPassword("correct horse") } }, new ManualClock());
  const next = { sap: { password_hash: await hashPassword("another") } };

  const checked = users.check("sap", "correct horse");
  users.update(next);

  expect(await checked).toBe(false);
  expect(users.remembers("sap", "correct horse")).toBe(false);
});
