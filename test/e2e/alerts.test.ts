/** Alerts of the whole relay: raised once, known over a restart, posted to a webhook that does not depend on mail, cleared once; and no secret in any of it. */
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { controlSocketPath } from "../../src/admin/admin.ts";
import { hashToken, makeToken } from "../../src/access/token.ts";
import { tokenFilePath, writeTokenFile } from "../../src/access/token-file.ts";
import { openControlClient } from "../../src/cli/control-client.ts";
import { DEFAULT_SECRET } from "../../src/simulator/tenant.ts";
import { ANNA, type Contoso, NEVER_LOGGED, SCANNER, startContoso, WRONG_SECRET } from "./tenant.ts";

const KEY = "canary~webhook~key";
let contoso: Contoso | undefined;
const undo: (() => unknown)[] = [];
afterEach(async () => {
  await contoso?.close();
  contoso = undefined;
  for (const one of undo.splice(0)) one();
});

interface Posted {
  readonly body: string;
  readonly signed: boolean;
}

/** A webhook that takes everything. */
async function receiver() {
  const posted: Posted[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (piece: string) => (body += piece));
    request.on("end", () => {
      const { "x-postern-timestamp": timestamp, "x-postern-signature": signature } = request.headers;
      const expected = createHmac("sha256", KEY)
        .update(`${String(timestamp)}.${body}`)
        .digest("hex");
      posted.push({ body, signed: signature === `sha256=${expected}` });
      response.end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  undo.push(() => server.close());
  return { posted, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/canary~webhook~path` };
}

test("a wrong secret is told once, stays known over a restart, and is over once it is repaired", async () => {
  const { posted, url } = await receiver();
  contoso = await startContoso({
    secret: WRONG_SECRET,
    more: () => ({ alerts: { webhook: { url: { file: "webhook-url" }, secret: { file: "webhook-key" } } } }),
    beforehand: async (_sim, configFile) => {
      await writeFile(join(dirname(configFile), "webhook-url"), `${url}\n`);
      await writeFile(join(dirname(configFile), "webhook-key"), `${KEY}\n`);
    },
  });
  const { clock, scan, event, all, folder } = contoso;
  await scan(SCANNER, ANNA);
  await event("alert.raised", ({ alert }) => alert === "upstream.held");
  await event("alert.notified", ({ state }) => state === "raised");
  const control = openControlClient(controlSocketPath(join(folder, "data")));
  const api = await control.get("/api/v1/alerts");
  expect(api).toMatchObject({ alerts: [{ alert: "upstream.held", subject: "scans", severity: "critical" }] });
  expect(await control.get("/api/v1/status")).toMatchObject(api as object);

  await contoso.restart();
  await event("queue.opened", () => all("queue.opened").length === 2);
  expect(all("alert.raised").filter(({ alert }) => alert === "upstream.held")).toHaveLength(1);
  await contoso.writeSecret(DEFAULT_SECRET);
  clock.advance(3_600_000);
  await event("recipient.delivered");
  await event("alert.cleared", ({ alert }) => alert === "upstream.held");
  await event("alert.notified", ({ state }) => state === "cleared");

  const told = posted.map(({ body }) => JSON.parse(body) as Record<string, unknown>).filter(({ alert }) => alert === "upstream.held");
  expect(told.map(({ state }) => state)).toEqual(["raised", "cleared"]);
  expect(told[0]).toMatchObject({
    subject: "scans",
    severity: "critical",
    hostname: "relay.contoso.com",
    text: expect.stringContaining("AADSTS7000215") as unknown,
  });
  expect(posted.every(({ signed }) => signed)).toBe(true);
  const file = await readFile(join(folder, "data", "deliver", "alerts.json"), "utf8");
  const everything = [file, JSON.stringify(api), ...posted.map(({ body }) => body), JSON.stringify(contoso.events)].join("\n");
  expect([...NEVER_LOGGED, "canary~webhook", "Page 1"].filter((secret) => everything.includes(secret))).toEqual([]);
  await contoso.expectSound();
});

test("a token of the API that is used and about to end is told of, and over once it is revoked", async () => {
  const dayMs = 24 * 3_600_000;
  contoso = await startContoso({
    beforehand: async (_sim, configFile) => {
      const now = Date.now();
      const made = { role: "viewer", createdAt: now - 85 * dayMs, createdBy: "root", expiresAt: now + 5 * dayMs } as const;
      await writeTokenFile(tokenFilePath(join(dirname(configFile), "data")), [
        { ...made, name: "wall", hash: hashToken(makeToken()).toString("hex"), lastUsedAt: now },
        { ...made, name: "forgotten", hash: hashToken(makeToken()).toString("hex") },
      ]);
    },
  });
  const { clock, event, all, folder } = contoso;
  const control = openControlClient(controlSocketPath(join(folder, "data")));

  await event("alert.raised", ({ alert, subject }) => alert === "token.expiring" && subject === "wall");
  const status = (await control.get("/api/v1/status")) as { alerts: readonly { alert: string; remedy: string }[] };
  await control.post("/api/v1/tokens/revoke", { name: "wall", by: "anna" });
  clock.advance(60_000);
  await event("alert.cleared", ({ alert, subject }) => alert === "token.expiring" && subject === "wall");

  expect(status.alerts).toMatchObject([
    {
      alert: "token.expiring",
      subject: "wall",
      severity: "warning",
      remedy: expect.stringContaining("postern token revoke wall") as unknown,
    },
  ]);
  expect(all("alert.raised").filter(({ alert }) => alert === "token.expiring")).toHaveLength(1);
});
