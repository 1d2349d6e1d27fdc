/**
 * One file, one process: msal keeps the endpoint that it found first. Its rule where the key file must be cannot be changed, so that part
 * runs where the folder can be made.
 */
import { accessSync, constants } from "node:fs";
import { mkdir, rm, rmdir, writeFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import http from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { systemClock } from "../../platform/clock.ts";
import { entraClient } from "./entra.ts";

const KEY_FOLDER = "/var/opt/azcmagent/tokens";
const KEY = "key-of-the-arc-agent";

let agent: http.Server;
const keyFile = join(KEY_FOLDER, `postern-test-${randomBytes(4).toString("hex")}.key`);
const asked: { readonly url: URL; readonly authorization: string | undefined; readonly metadata: string | undefined }[] = [];
let realm = keyFile;

beforeAll(async () => {
  agent = http.createServer((request, response) => {
    const url = new URL(request.url ?? "", "http://127.0.0.1");
    const { authorization, metadata } = request.headers;
    asked.push({ url, authorization, metadata: Array.isArray(metadata) ? undefined : metadata });
    if (authorization === `Basic ${KEY}`) {
      const body = {
        access_token: "ARC-TOKEN",
        expires_in: "86400",
        expires_on: String(Math.floor(Date.now() / 1000) + 86_400),
        token_type: "Bearer",
      };
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
    } else {
      response.writeHead(401, { "www-authenticate": `Basic realm=${realm}` }).end(JSON.stringify({ error: "unauthorized" }));
    }
  });
  agent.listen(0, "127.0.0.1");
  await once(agent, "listening");
  const base = `http://127.0.0.1:${(agent.address() as AddressInfo).port}`;
  vi.stubEnv("IDENTITY_ENDPOINT", `${base}/metadata/identity/oauth2/token`);
  vi.stubEnv("IMDS_ENDPOINT", base);
});

beforeEach(() => {
  asked.length = 0;
  realm = keyFile;
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(keyFile, { force: true });
  // Only where they are empty: on a machine with an agent they are not ours.
  for (const folder of [KEY_FOLDER, "/var/opt/azcmagent"]) await rmdir(folder).catch(() => {});
  agent.closeAllConnections();
  if (agent.listening) {
    agent.close();
    await once(agent, "close");
  }
});

const client = () =>
  entraClient({
    authority: "https://login.microsoftonline.com/organizations",
    scope: "https://outlook.office365.com/.default",
    credential: { type: "managed-identity" },
    ca: [],
    clock: systemClock,
  });

function canMakeKeys(): boolean {
  try {
    accessSync("/var/opt", constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

describe("Azure Arc", () => {
  test.runIf(canMakeKeys())("gives a token for the key in the file that only its group may read", async () => {
    await mkdir(KEY_FOLDER, { recursive: true });
    await writeFile(keyFile, KEY, { mode: 0o600 });

    const answers = await Promise.all([client().fetch(), client().fetch()]);

    expect(answers).toMatchObject([{ value: "ARC-TOKEN" }, { value: "ARC-TOKEN" }]);
    const [answer] = answers;
    expect("value" in answer && answer.expiresAt - Date.now()).toBeGreaterThan(23 * 3_600_000);
    expect(asked[0]).toMatchObject({ authorization: undefined, metadata: "true" });
    expect(asked[0]?.url.searchParams.get("resource")).toBe("https://outlook.office365.com");
    expect(asked[0]?.url.searchParams.get("api-version")).toBe("2020-06-01");
  });

  test("is not given the content of a file from anywhere else", async () => {
    realm = "/etc/hostname.key";

    const answer = await client().fetch();

    expect(answer).toMatchObject({ stage: "token", fault: { code: "ARC_UNAVAILABLE" } });
    expect(asked.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  test("whose key file cannot be read says so", async () => {
    realm = join(KEY_FOLDER, "nowhere.key");

    expect(await client().fetch()).toMatchObject({ stage: "token", fault: { code: "ARC_UNAVAILABLE" } });
  });

  test("that is not there is ARC_UNAVAILABLE, and asked again later", async () => {
    agent.closeAllConnections();
    agent.close();
    await once(agent, "close");

    const answer = await client().fetch();

    expect(answer).toMatchObject({ stage: "token", fault: { code: "ARC_UNAVAILABLE", detail: expect.stringContaining("ECONNREFUSED") } });
  });
});
