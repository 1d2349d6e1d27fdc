import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { dockerfileFaults } from "./check-dockerfile.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const dockerfile = readFileSync(`${ROOT}Dockerfile`, "utf8");
const ignored = readFileSync(`${ROOT}.dockerignore`, "utf8");

test("the Dockerfile has no fault that can be seen without an engine", () => {
  expect(dockerfileFaults(dockerfile, ignored, ROOT)).toEqual([]);
});

test.each([
  ["runs as root", dockerfile.replace("USER 10025", "USER root")],
  ["no HEALTHCHECK", dockerfile.replace("/readyz", "/")],
  ["no such file", dockerfile.replace("COPY bin ./bin", "COPY bim ./bin")],
  ["no such stage", dockerfile.replace("--from=build", "--from=builder")],
  ["a secret", dockerfile.replace("ENV NODE_ENV=production", "ENV CLIENT_SECRET=x")],
  ["name a version", dockerfile.replaceAll("node:24-bookworm-slim", "node:latest")],
  ["--ignore-scripts", dockerfile.replaceAll("--ignore-scripts", "")],
])("it is noticed: %s", (fault, text) => {
  expect(dockerfileFaults(text, ignored, ROOT).join("\n")).toContain(fault);
});
