import { afterEach, expect, test, vi } from "vitest";
import { operatorName } from "./operator.ts";

afterEach(() => vi.unstubAllEnvs());

test.each([
  ["kim", "root", "kim"],
  ["", "kim", "kim"],
])("with SUDO_USER %j and the login %s, %s acts", (sudo, login, expected) => {
  vi.stubEnv("SUDO_USER", sudo);

  expect(operatorName(() => login)).toBe(expected);
});

test("a user without a name, as in a container that runs as a number, acts by that number", () => {
  vi.stubEnv("SUDO_USER", "");

  const name = operatorName(() => {
    throw new Error("uv_os_get_passwd returned ENOENT");
  });

  expect(name).toBe(`uid ${process.getuid?.()}`);
});
