import { Resolver } from "node:dns/promises";
import { createSocket } from "node:dgram";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

import { usedKeys } from "../../test/support/keys.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";
import { makeTenant } from "./tenant.ts";

const directory = mkdtempSync(path.join(tmpdir(), "stand-in-"));
let simulator: Simulator;
let resolver: Resolver;

beforeAll(async () => {
  simulator = await startSimulator({ keys: usedKeys(), directory });
});

beforeEach(() => {
  Object.assign(simulator.tenant, makeTenant());
  // One of its own for each test: it would remember answers otherwise.
  resolver = new Resolver({ timeout: 200, tries: 1 });
  resolver.setServers([`127.0.0.1:${simulator.ports.dns}`]);
});

afterAll(async () => {
  await simulator.close();
  rmSync(directory, { recursive: true });
});

test("a domain of the tenant leads to its MX host, and that to the stand-in", async () => {
  const [exchange] = await resolver.resolveMx("Contoso.com");

  expect(exchange).toMatchObject({ exchange: "contoso-com.mail.protection.outlook.com", priority: 0 });
  expect(await resolver.resolve4(exchange?.exchange ?? "")).toEqual(["127.0.0.1"]);
  expect(await resolver.resolveTxt("contoso.com")).toEqual([["v=spf1 include:spf.protection.outlook.com -all"]]);
  await expect(resolver.resolve6(exchange?.exchange ?? "")).rejects.toMatchObject({ code: "ENODATA" });
});

test("records follow the tenant: a new domain, an MX host under mx.microsoft, addresses of both families", async () => {
  const { tenant } = simulator;
  tenant.domains.push("fabrikam.example");
  tenant.dns.mxHosts["contoso.com"] = "contoso-com.o-v1.mx.microsoft";
  tenant.dns.addresses = ["127.0.0.1", "127.0.0.2", "::1"];

  expect(await resolver.resolveMx("fabrikam.example")).toMatchObject([
    { exchange: "fabrikam-example.mail.protection.outlook.com", priority: 0 },
  ]);
  expect(await resolver.resolveMx("contoso.com")).toMatchObject([{ exchange: "contoso-com.o-v1.mx.microsoft", priority: 0 }]);
  expect(await resolver.resolve4("contoso-com.o-v1.mx.microsoft")).toEqual(["127.0.0.1", "127.0.0.2"]);
  expect(await resolver.resolve6("contoso-com.o-v1.mx.microsoft")).toEqual(["::1"]);
});

test("records can be put in the place of the stand-in's own", async () => {
  simulator.tenant.dns.records = [
    { name: "contoso.com", type: "MX", data: "10 mx1.provider.example" },
    { name: "contoso.com", type: "MX", data: "20 mx2.provider.example" },
    { name: "mx1.provider.example", type: "CNAME", data: "host.provider.example" },
    { name: "host.provider.example", type: "A", data: "127.0.0.7" },
    { name: "loop.example", type: "CNAME", data: "loop.example" },
  ];

  expect((await resolver.resolveMx("contoso.com")).map(({ exchange }) => exchange)).toEqual([
    "mx1.provider.example",
    "mx2.provider.example",
  ]);
  expect(await resolver.resolve4("mx1.provider.example")).toEqual(["127.0.0.7"]);
  await expect(resolver.resolve4("loop.example")).rejects.toMatchObject({ code: "ENOTFOUND" });
});

test.each([
  ["SERVFAIL", "ESERVFAIL"],
  ["NXDOMAIN", "ENOTFOUND"],
  ["REFUSED", "EREFUSED"],
  ["EMPTY", "ENODATA"],
  ["SILENT", "ETIMEOUT"],
] as const)("a name can be made to fail with %s, and what is under it", async (failure, code) => {
  simulator.tenant.dns.failures["contoso.com"] = failure;

  await expect(resolver.resolveMx("contoso.com")).rejects.toMatchObject({ code });
  await expect(resolver.resolve4("www.contoso.com")).rejects.toMatchObject({ code });
});

test.each(["nobody.example", "contoso-com.mail.protection.outlook.com.evil.example", "outlook.com"])(
  "%s is not known: nobody else is asked",
  async (name) => {
    await expect(resolver.resolve4(name)).rejects.toMatchObject({ code: "ENOTFOUND" });
  },
);

test("an answer too long for a datagram is asked for again over TCP", async () => {
  simulator.tenant.dns.records = Array.from({ length: 100 }, (_, number) => ({
    name: "contoso.com",
    type: "MX" as const,
    data: `${number} mx-${number}.a-rather-long-name-of-a-provider.example`,
  }));

  expect(await resolver.resolveMx("contoso.com")).toHaveLength(100);
});

test("what is no question gets no answer, and the next question does", async () => {
  const socket = createSocket("udp4");
  for (const junk of ["", "x", "\0".repeat(12), `${"\0".repeat(4)}\0\x01${"\0".repeat(6)}\x3fabc`])
    socket.send(junk, simulator.ports.dns, "127.0.0.1");
  const stream = connect(simulator.ports.dns, "127.0.0.1");
  const closed = new Promise((resolve) => stream.once("close", resolve));
  stream.write(Buffer.from([0, 3, 1, 2, 3]));
  await closed;

  expect(await resolver.resolveMx("contoso.com")).toHaveLength(1);
  socket.close();
});

/** Not spawnSync: the server answers in this process. */
function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
    let output = "";
    child.stdout.on("data", (text: Buffer) => (output += text.toString()));
    child.on("error", reject);
    child.on("close", () => resolve(output));
  });
}

test.skipIf(spawnSync("dig", ["-v"]).error !== undefined).each([["+notcp"], ["+tcp"]])("dig reads the answer with %s", async (protocol) => {
  const output = await run("dig", ["@127.0.0.1", "-p", String(simulator.ports.dns), protocol, "contoso.com", "MX"]);

  expect(output).toContain("status: NOERROR");
  expect(output).toMatch(/contoso\.com\.\s+60\s+IN\s+MX\s+0 contoso-com\.mail\.protection\.outlook\.com\./);
  expect(output).not.toContain("WARNING");
});
