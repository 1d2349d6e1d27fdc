import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { PROGRAM } from "../../test/support/postern.ts";
import { entryPoint, packageFile, type EntryPoint } from "./place.ts";

const ENTRY_POINTS: readonly EntryPoint[] = ["queue/worker", "queue/reader-worker", "cli/preview/worker", "config/apart-process"];

test.each(ENTRY_POINTS)("%s is there to be started, in the sources and in the build", (name) => {
  const built = new URL(`${name.replaceAll("/", "-")}.js`, new URL(`file://${PROGRAM}`));

  expect(existsSync(fileURLToPath(entryPoint(name)))).toBe(true);
  expect(existsSync(fileURLToPath(built))).toBe(true);
});

test("files of the package are found", () => {
  expect(JSON.parse(readFileSync(packageFile("package.json"), "utf8"))).toMatchObject({ name: "postern" });
  expect(existsSync(packageFile("config/demo.yaml"))).toBe(true);
});
