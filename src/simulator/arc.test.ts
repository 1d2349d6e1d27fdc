import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { usedKeys } from "../../test/support/keys.ts";
import { ManualClock } from "../platform/clock.ts";
import { decodeJwt } from "./jwt.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";
import { DEFAULT_MACHINE_ID } from "./tenant.ts";

const directory = mkdtempSync(path.join(tmpdir(), "stand-in-"));
const keyDirectory = path.join(directory, "tokens");
let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({ keys: usedKeys(), directory, clock: new ManualClock(Date.now()), arcKeyDirectory: keyDirectory });
});
afterEach(() => simulator.reset());
afterAll(async () => {
  await simulator.close();
  rmSync(directory, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly challenge: string;
  readonly body: Record<string, unknown>;
}

function ask(query: Record<string, string>, headers: Record<string, string> = { metadata: "true" }): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const url = `${simulator.arcEndpoint}?${new URLSearchParams(query).toString()}`;
    const call = request(url, { headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => (text += piece));
      response.on("end", () => {
        const body = text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
        resolve({ status: response.statusCode ?? 0, challenge: response.headers["www-authenticate"] ?? "", body });
      });
    });
    call.on("error", reject);
    call.end();
  });
}

const MAIL = { "api-version": "2020-06-01", resource: "https://outlook.office365.com" };
const fileOf = ({ challenge }: Answer): string => challenge.replace("Basic realm=", "");
const answering = (secret: string): Record<string, string> => ({ metadata: "true", authorization: `Basic ${secret}` });

test("a reader of the key file gets a token of the machine, once for each file", async () => {
  const challenged = await ask(MAIL);
  const file = fileOf(challenged);
  const mode = statSync(file).mode & 0o777;
  const secret = readFileSync(file, "utf8");

  const issued = await ask(MAIL, answering(secret));
  const again = await ask(MAIL, answering(secret));

  expect(challenged).toMatchObject({ status: 401, body: {} });
  expect([path.dirname(file), path.extname(file), mode]).toEqual([keyDirectory, ".key", 0o640]);
  expect(issued).toMatchObject({ status: 200, body: { token_type: "Bearer", resource: MAIL.resource, client_id: DEFAULT_MACHINE_ID } });
  expect(decodeJwt(String(issued.body["access_token"]))?.claims).toMatchObject({
    appid: DEFAULT_MACHINE_ID,
    roles: ["SMTP.SendAsApp", "Mail.Send"],
  });
  expect(again.status).toBe(401);
  expect(existsSync(file)).toBe(false);
});

test("challenges that nobody answers do not pile up", async () => {
  for (let at = 0; at < 20; at++) await ask(MAIL);

  expect(readdirSync(keyDirectory)).toHaveLength(16);
});

test.each([
  ["without the header Metadata", MAIL, {}, 400],
  ["of another version", { ...MAIL, "api-version": "2018-02-01" }, { metadata: "true" }, 400],
  ["with a secret that was guessed", MAIL, answering("guess"), 401],
])("a request %s is refused", async (_, query, headers: Record<string, string>, status) => {
  const answer = await ask(query, headers);

  expect(answer.status).toBe(status);
  expect(answer.body["access_token"]).toBeUndefined();
});

test("a resource of another cloud is not known", async () => {
  const query = { ...MAIL, resource: "https://outlook.office365.us" };
  const secret = readFileSync(fileOf(await ask(query)), "utf8");

  expect(await ask(query, answering(secret))).toMatchObject({ status: 400, body: { error: "invalid_resource" } });
});

test("faults: down, reset, and a key file that is not there", async () => {
  simulator.faults.set("arc-down", { count: 1 });
  const down = await ask(MAIL);
  simulator.faults.set("arc-key-missing", { count: 1 });
  const missing = await ask(MAIL);
  simulator.faults.set("arc-reset", { count: 1 });

  await expect(ask(MAIL)).rejects.toThrow();
  expect(down.status).toBe(503);
  expect([missing.status, existsSync(fileOf(missing))]).toEqual([401, false]);
});
