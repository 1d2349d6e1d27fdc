/** The short form of `npm run test:hostile`. */
import { createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { runHostileTest } from "./harness.ts";
import { Strangers } from "./strangers.ts";

test("2,000 strangers and 400 fuzzed dialogues find nothing in a whole relay, which stays the same process", async () => {
  const report = await runHostileTest({
    connections: 2_000,
    goOn: (cases) => cases < 400,
    seed: 7,
    build: "dist",
    warmUp: 200,
    atRest: false,
  });

  expect({ findings: report.findings, faults: report.faults }).toEqual({ findings: [], faults: [] });
  expect(report.cases).toBeGreaterThanOrEqual(600);
  expect(report.accepted).toBeGreaterThan(50);
  // A heap this young still grows by itself; the long form has the bar of 20 %.
  expect(report.rssBytes.after).toBeLessThan(report.rssBytes.before * 1.5);
}, 180_000);

test("a stranger who hears anything but the one line is a fault", async () => {
  const server = createServer((socket) => void socket.on("error", () => undefined).end("220 come in\r\n"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const strangers = new Strangers((server.address() as AddressInfo).port);

  await strangers.knock(3);
  await new Promise((resolve) => server.close(resolve));

  expect(strangers.faults[0]).toMatch(/^127\.0\.7\.1 heard "220 come in/);
});
