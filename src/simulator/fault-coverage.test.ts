import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { usedKeys } from "../../test/support/keys.ts";
import { RawSmtpClient } from "../../test/fakes/raw-smtp-client.ts";
import type { FaultStage } from "./fault-model.ts";
import { FAULTS } from "./fault-table.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";

/** Rows of the catalogue that no client receives: bounce messages and traces only. */
const BOUNCE_ONLY = [35, 40, 79, 81, 82, 83, 84, 85];
const LAST_ROW = 86;
const CONTENT = "From: erp@contoso.com\r\nSubject: x\r\n\r\nbody\r\n";

const directory = mkdtempSync(path.join(tmpdir(), "stand-in-"));
const clients: RawSmtpClient[] = [];
let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({ keys: usedKeys(), directory });
});

afterEach(() => {
  for (const client of clients.splice(0)) client.drop();
  simulator.reset();
});

afterAll(async () => {
  await simulator.close();
  rmSync(directory, { recursive: true });
});

test("every row that a client can receive has a fault; the others only come as bounce mail", () => {
  const rows = new Set(FAULTS.map(({ row }) => row));
  const missing = Array.from({ length: LAST_ROW }, (_, index) => index + 1).filter((row) => !rows.has(row));

  expect(missing).toEqual(BOUNCE_ONLY);
});

/** Walks a session on the MX host to the stage, and gives the answer there. */
async function walkTo(stage: FaultStage, recipient = "anna@contoso.com"): Promise<string | undefined> {
  const client = await RawSmtpClient.connect(simulator.ports.mx);
  clients.push(client);
  const steps: [FaultStage, () => Promise<string | undefined>][] = [
    ["greeting", () => client.reply()],
    ["ehlo", () => client.say("EHLO relay.contoso.com")],
    ["mail", () => client.say("MAIL FROM:<erp@contoso.com>")],
    ["rcpt", () => client.say(`RCPT TO:<${recipient}>`)],
    ["data", () => client.say("DATA")],
    ["final", () => client.say(`${CONTENT}.`)],
  ];
  for (const [name, step] of steps) {
    const answer = await step();
    if (name === stage || answer === undefined) return answer;
  }
  return undefined;
}

const onMx = FAULTS.filter(
  ({ hosts, action, afterFirst, stage }) => hosts.includes("mx") && action.kind === "reply" && afterFirst !== true && stage !== "auth",
);

test.each(onMx.map((fault) => [fault.name, fault] as const))("the MX host says the words of %s once", async (name, { stage, action }) => {
  const words = action.kind === "reply" ? action.text : "";
  simulator.faults.set(name, { count: 1, host: "mx" });

  const reply = await walkTo(stage);

  const said = words.replaceAll("{ip}", "127.0.0.1").replaceAll("{domain}", "contoso.com");
  expect(reply?.startsWith(`${said} [`)).toBe(true);
  expect(simulator.faults.active()).toEqual([]);
  expect(await walkTo(stage)).not.toBe(reply);
});

test.each(onMx.filter(({ recipient }) => recipient !== undefined).map((fault) => [fault.recipient ?? "", fault] as const))(
  "%s@ triggers its fault at the MX host",
  async (local, { stage, action }) => {
    const words = action.kind === "reply" ? action.text : "";

    const reply = await walkTo(stage, `${local}@contoso.com`);

    expect(reply?.slice(0, 12)).toBe(words.slice(0, 12));
  },
);

test("a fault switched on for one host leaves the others alone", async () => {
  simulator.faults.set("service-unavailable", { host: "hve" });

  expect(await walkTo("greeting")).toMatch(/^220 /);
});
