/** What the API answers is what its description says: every route of a running relay, with mail in every state. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Route } from "../../src/admin/api/route.ts";
import { ROUTES } from "../../src/admin/api/routes.ts";
import { tokenFilePath } from "../../src/access/token-file.ts";
import { Tokens } from "../../src/access/tokens.ts";
import { LineClient } from "../fakes/line-client.ts";
import { ANNA, SCANNER, startContoso, type Contoso } from "./tenant.ts";

let contoso: Contoso;
let token: string;
/** Queue ids: delivered, bounced, held by an operator. */
let delivered: string;
let bounced: string;
let held: string;

beforeAll(async () => {
  contoso = await startContoso({ more: () => ({ admin: { listen: "127.0.0.1:0" }, log: { subjects: true, transcripts: "all" } }) });
  token = (
    await new Tokens({ path: tokenFilePath(`${contoso.folder}/data`), clock: contoso.clock }).add({
      name: "test",
      role: "administrator",
      by: "kim",
    })
  ).token;
  delivered = await contoso.scan(SCANNER, ANNA);
  await contoso.event("recipient.delivered", ({ queueId }) => queueId === delivered);
  bounced = await contoso.scan(SCANNER, "unknown@contoso.com");
  await contoso.event("recipient.bounced", ({ queueId }) => queueId === bounced);
  await using stranger = await LineClient.open(contoso.relay().addresses[0]?.port ?? 0);
  await stranger.reply();
  await stranger.say("MAIL FROM:<boss@fabrikam.com>");
  await stranger.say("EHLO printer");
  await stranger.say("MAIL FROM:<boss@fabrikam.com>");
});
afterAll(() => contoso.close());

interface Sample {
  /** Below `/api/v1`, with its query. */
  readonly path: string;
  readonly body?: unknown;
}

/** A request for each route that gives it something to say; later ones may build on earlier ones. */
const SAMPLES: Readonly<Record<string, () => Sample>> = {
  "get /version": () => ({ path: "/version" }),
  "get /status": () => ({ path: "/status" }),
  "get /queue": () => ({ path: `/queue?state=delivered,bounced,held&limit=50` }),
  "get /queue/:id": () => ({ path: `/queue/${bounced.toLowerCase()}` }),
  "get /messages": () => ({ path: "/messages?text=scan&limit=5" }),
  "get /transcripts/:id": () => ({ path: `/transcripts/${delivered}?upstreams=scans` }),
  "get /devices": () => ({ path: "/devices" }),
  "get /devices/:address": () => ({ path: "/devices/127.0.0.1" }),
  "get /alerts": () => ({ path: "/alerts" }),
  "post /alerts/test": () => ({ path: "/alerts/test", body: {} }),
  "post /queue/hold": () => ({ path: "/queue/hold", body: { filter: { lane: "scans" } } }),
  "post /queue/retry": () => ({ path: "/queue/retry", body: { ids: [delivered] } }),
  "post /queue/release": () => ({ path: "/queue/release", body: { filter: { states: ["held"] } } }),
  "post /queue/bounce": () => ({ path: "/queue/bounce", body: { ids: [held] } }),
  "post /queue/delete": () => ({ path: "/queue/delete", body: { ids: [held] } }),
  "get /queue/:id/content": () => ({ path: `/queue/${held}/content` }),
  "post /devices/allow": () => ({ path: "/devices/allow", body: { address: "10.20.3.7", client: "floor" } }),
  "post /devices/forget": () => ({ path: "/devices/forget", body: { address: "10.20.3.7" } }),
  "post /test": () => ({ path: "/test", body: { to: ANNA } }),
  "post /doctor": () => ({ path: "/doctor", body: {} }),
  "post /tokens/add": () => ({ path: "/tokens/add", body: { name: "other", role: "viewer", expiresAt: contoso.clock.now() + 60_000 } }),
  "get /tokens": () => ({ path: "/tokens" }),
  "post /tokens/revoke": () => ({ path: "/tokens/revoke", body: { name: "other" } }),
  "get /openapi.json": () => ({ path: "/openapi.json" }),
};

/** Asked by themselves: this relay has no file that it was started from, and events do not end. */
const WITHOUT_FILE = "post /reload";
const WITHOUT_END = "get /events";

const nameOf = ({ method, path }: Route): string => `${method} ${path}`;

async function ask({ path, body }: Sample): Promise<Response> {
  const { port } = contoso.relay().adminAddresses[0] ?? { port: 0 };
  return await fetch(`http://127.0.0.1:${port}/api/v1${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** Mail that waits, since its door does not answer while it is held. */
async function holdOne(): Promise<void> {
  await contoso.sim.close();
  held = await contoso.scan(SCANNER, ANNA);
  await contoso.event("recipient.deferred", ({ queueId }) => queueId === held);
}

/** The values of an answer: one, or one a line. */
async function valuesOf(answer: Response, route: Route): Promise<unknown[]> {
  if (route.type === "application/json") return [await answer.json()];
  const text = await answer.text();
  return route.type === "application/x-ndjson"
    ? text
        .trimEnd()
        .split("\n")
        .map((line): unknown => JSON.parse(line))
    : [text];
}

test("there is a sample for each route, and none for what is not there", () => {
  expect([...Object.keys(SAMPLES), WITHOUT_FILE, WITHOUT_END].toSorted()).toEqual(ROUTES.map(nameOf).toSorted());
});

describe("each answer is as described", () => {
  test("of all routes, one after the other, with nothing in it that the description does not know", { timeout: 90_000 }, async () => {
    const faults: string[] = [];
    let asked = 0;
    for (const [name, sample] of Object.entries(SAMPLES)) {
      const route = ROUTES.find((one) => nameOf(one) === name);
      if (route === undefined) continue;
      if (name === "post /queue/hold") await holdOne();
      const answer = await ask(sample());
      if (answer.status !== 200) faults.push(`${name}: ${answer.status} ${await answer.text()}`);
      else {
        const type = answer.headers.get("content-type") ?? "";
        if (!type.startsWith(route.type)) faults.push(`${name}: ${type}`);
        for (const value of await valuesOf(answer, route)) {
          const result = route.answer.safeParse(value);
          if (!result.success) faults.push(`${name}: ${JSON.stringify(result.error.issues)} in ${JSON.stringify(value).slice(0, 500)}`);
        }
      }
      asked += 1;
    }

    expect(faults).toEqual([]);
    expect(asked).toBe(ROUTES.length - 2);
  });

  test("of every kind of event that mail makes, numbered and dated", async () => {
    const answer = await ask({ path: "/events" });
    const route = ROUTES.find((one) => nameOf(one) === WITHOUT_END);
    const asked = ask({ path: "/devices/allow", body: { address: "10.20.3.8", client: "floor" } });
    let text = "";
    for await (const part of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
      text += Buffer.from(part).toString();
      if (text.includes("event: device.allowed")) break;
    }
    await asked;

    const values = [...text.matchAll(/^data: (.+)$/gm)].map(([, data = ""]): unknown => JSON.parse(data));
    expect(values.length).toBeGreaterThan(0);
    expect(values.map((value) => route?.answer.safeParse(value).success)).not.toContain(false);
  });

  test("a reload without a file is a fault as described", async () => {
    const answer = await ask({ path: "/reload", body: {} });

    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({ error: { code: "E_UNAVAILABLE", message: expect.any(String) } });
  });

  test("what is served is what is in the repository", async () => {
    const served = await (await ask({ path: "/openapi.json" })).json();
    const kept: unknown = JSON.parse(await readFile(new URL("../../config/openapi.json", import.meta.url), "utf8"));

    expect(served).toEqual(kept);
  });
});

describe("the document", () => {
  interface Document {
    readonly openapi: string;
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
    readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
  }
  interface Operation {
    readonly operationId: string;
    readonly parameters?: readonly { readonly name: string; readonly in: string }[];
    readonly responses: Readonly<Record<string, unknown>>;
  }

  async function document(): Promise<Document> {
    return JSON.parse(await readFile(new URL("../../config/openapi.json", import.meta.url), "utf8")) as Document;
  }

  test("every reference leads somewhere, nothing named is unused, and no name is given twice", async () => {
    const api = await document();
    const references = [...JSON.stringify(api).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name = ""]) => name);
    const ids = Object.values(api.paths).flatMap((operations) => Object.values(operations).map(({ operationId }) => operationId));

    expect([...new Set(references)].toSorted()).toEqual(Object.keys(api.components.schemas).toSorted());
    expect(new Set(ids).size).toBe(ids.length);
    expect(JSON.stringify(api)).not.toContain("$defs");
  });

  test("every part of a path that varies is a parameter", async () => {
    for (const [path, operations] of Object.entries((await document()).paths)) {
      for (const { parameters = [] } of Object.values(operations)) {
        const inPath = parameters.filter((parameter) => parameter.in === "path").map(({ name }) => `{${name}}`);
        expect(inPath).toEqual(path.match(/\{\w+\}/g) ?? []);
      }
    }
  });

  test("no answer of a viewer's route is content, and every other one says 403", async () => {
    const roles = ROUTES.map((route) => [nameOf(route), route.role, route.type]);

    expect(roles.filter(([, role, type]) => role === "viewer" && type === "message/rfc822")).toEqual([]);
    for (const operations of Object.values((await document()).paths)) {
      for (const operation of Object.values(operations)) {
        expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(["200", "401", "429", "503"]));
        expect("403" in operation.responses).toBe((operation as unknown as { "x-role": string })["x-role"] !== "viewer");
      }
    }
  });
});
