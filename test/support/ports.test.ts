import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { freePort } from "./ports.ts";

test("nobody gets a port twice, however many ask at once", async () => {
  const ports = await Promise.all(Array.from({ length: 500 }, freePort));

  expect(new Set(ports).size).toBe(500);
});

test.runIf(process.platform === "linux")("other processes see that a port is taken, before anybody listens on it", async () => {
  const port = await freePort();

  const owner = connect({ path: `\0postern-test-port-${port}` });
  const [found] = await Promise.race([once(owner, "connect").then(() => ["taken"]), once(owner, "error")]);

  expect(found).toBe("taken");
  owner.destroy();
});
