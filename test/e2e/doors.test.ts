/** Several doors to a route, on the whole product: real sockets and TLS, the stand-in or plain SMTP servers at the other end. */
import { afterEach, describe, expect, test } from "vitest";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { DEFAULT_CLIENT_ID } from "../../src/simulator/tenant.ts";
import { SmtpReceiver } from "../crash/smtp-receiver.ts";
import { freePort } from "../support/ports.ts";
import { tempDir } from "../support/temp-dir.ts";
import { postern, run, writeConfig } from "./process.ts";
import { submit } from "./submit.ts";
import { ANNA, SCANNER, startContoso, type Contoso, type ContosoOptions } from "./tenant.ts";

const undo: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

describe("at Microsoft 365", () => {
  const UNPACED = { limits: { messages_per_minute: "none" } };
  const graph = (sim: Simulator): Record<string, Record<string, unknown>> => ({
    scans: UNPACED,
    graph: {
      type: "graph",
      mailbox: SCANNER,
      authority: sim.authority,
      graph_host: sim.graphUrl,
      ca: "stand-in/ca.pem",
      credential: { type: "client-secret", client_id: DEFAULT_CLIENT_ID, secret: { file: "secret" } },
    },
  });

  /** The stand-in keeps no pace here: how many a minute is another test's. */
  function unpaced(sim: Simulator): void {
    for (const mailbox of sim.tenant.mailboxes) mailbox.limits.messagesPerMinute = 100_000;
  }

  async function begin(options: ContosoOptions): Promise<Contoso> {
    const contoso = await startContoso({ prepare: unpaced, ...options });
    undo.push(async () => {
      try {
        await contoso.expectSound();
      } finally {
        await contoso.close();
      }
    });
    return contoso;
  }

  function setSmtpAuth(sim: Simulator, on: boolean): void {
    for (const mailbox of sim.tenant.mailboxes) mailbox.smtpAuth = on;
  }

  /** As Microsoft does it: sessions that are open end, and no new one is let in. */
  function switchOff(sim: Simulator): void {
    setSmtpAuth(sim, false);
    sim.faults.set("mail-unavailable", { count: 2 });
  }

  /** Submits so many scans over some connections at a time; resolves with their queue ids. */
  async function scans({ scan }: Contoso, count: number, from = 0): Promise<string[]> {
    const ids: string[] = [];
    for (let i = from; i < from + count; i += 10)
      ids.push(...(await Promise.all(Array.from({ length: Math.min(10, from + count - i) }, () => scan(SCANNER, ANNA)))));
    return ids;
  }

  const postedIds = (sim: Simulator): string[] =>
    sim.messages().map((message) => message.headers.find(({ name }) => name.toLowerCase() === "x-postern-id")?.value ?? "");

  test(
    "SMTP AUTH is switched off in the middle of 100 messages: all arrive by Graph, none twice, nobody is told of a failure",
    { timeout: 60_000 },
    async () => {
      const contoso = await begin({ upstreams: graph, routes: [{ name: "default", via: ["scans", "graph"] }] });
      const { sim, relay, all } = contoso;
      const first = await scans(contoso, 50);
      await sim.waitFor(20);

      switchOff(sim);
      const ids = [...first, ...(await scans(contoso, 50, 50))];
      await sim.waitFor(100);
      await expect.poll(async () => (await relay().queue.statistics()).final.delivered).toBe(100);

      expect(postedIds(sim).toSorted()).toEqual(ids.toSorted());
      expect(new Set(sim.messages().map(({ door }) => door))).toEqual(new Set(["submission", "graph"]));
      expect(all("recipient.bounced")).toEqual([]);
      expect(all("alert.raised").map(({ alert, subject }) => `${alert} ${subject}`)).toEqual(["upstream.held scans"]);
    },
  );

  test("with no second door all are held, with one alarm, and leave once it is switched on", { timeout: 60_000 }, async () => {
    const contoso = await begin({ upstreams: () => ({ scans: UNPACED }) });
    const { sim, relay, all, clock, event } = contoso;
    await scans(contoso, 20);
    await sim.waitFor(20);
    switchOff(sim);

    await scans(contoso, 80, 20);
    await event("upstream.held");
    await expect
      .poll(async () => (await relay().queue.statistics()).waiting)
      .toMatchObject({ held: 80, queued: 0, deferred: 0, delivering: 0 });
    clock.advance(3 * 24 * 3_600_000);
    await expect.poll(() => all("upstream.auth.failed").length).toBeGreaterThan(1);
    setSmtpAuth(sim, true);
    clock.advance(24 * 3_600_000);
    await sim.waitFor(100);
    await expect.poll(async () => (await relay().queue.statistics()).final.delivered).toBe(100);

    expect(new Set(postedIds(sim)).size).toBe(100);
    // That the mail has grown old in three days is another alarm.
    const ofTheDoor = (name: "alert.raised" | "alert.cleared") => all(name).filter(({ alert }) => alert !== "queue.old");
    expect(ofTheDoor("alert.raised").map(({ alert }) => alert)).toEqual(["upstream.held"]);
    expect(ofTheDoor("alert.cleared").map(({ alert }) => alert)).toEqual(["upstream.held"]);
    expect([...all("recipient.bounced"), ...all("recipient.expired")]).toEqual([]);
  });

  test("three recipients inside go by Direct Send and two outside by the mailbox; one that is unknown harms nobody else", async () => {
    const contoso = await begin({
      upstreams: (sim) => ({
        scans: UNPACED,
        inside: {
          type: "direct-send",
          domain: "contoso.com",
          host: "127.0.0.1",
          port: sim.ports.mx,
          tls: "opportunistic",
          ca: "stand-in/ca.pem",
        },
      }),
      routes: [{ name: "default", via: ["inside", "scans"] }],
    });
    const { sim, relay, scan } = contoso;

    const queueId = await scan(SCANNER, ANNA, "it@contoso.com", "unknown@contoso.com", "x@fabrikam.example", "y@fabrikam.example");
    await expect
      .poll(async () => (await relay().queue.show(queueId))?.entries.map(({ state }) => state).toSorted())
      .toEqual(["bounced", "delivered", "delivered", "delivered", "delivered"]);

    const ours = sim
      .messages()
      .filter((message) => message.subject.startsWith("Scan") && message.content?.includes(`X-Postern-Id: ${queueId}`) === true);
    const byDoor = Object.groupBy(ours, ({ door }) => door);
    expect(byDoor["direct-send"]?.flatMap(({ recipients }) => recipients).toSorted()).toEqual([ANNA, "it@contoso.com"]);
    expect(byDoor["submission"]?.flatMap(({ recipients }) => recipients).toSorted()).toEqual(["x@fabrikam.example", "y@fabrikam.example"]);
  });
});

/** Two smart hosts in order. */
function twoHosts(first: number, second: number): Record<string, unknown> {
  const host = (port: number): unknown => ({ type: "smart-host", host: "127.0.0.1", port, tls: "none" });
  return {
    upstreams: { next: host(first), backup: host(second) },
    routes: [{ name: "default", via: ["next", "backup"] }],
  };
}

test(
  "the first of two smart hosts dies in the middle of 100 messages: all arrive, none twice, and the way is told",
  { timeout: 60_000 },
  async () => {
    const folder = await tempDir();
    undo.push(() => folder.remove());
    const arrived: string[] = [];
    const take = (content: Buffer): string => {
      arrived.push(/^X-Postern-Id: (\w+)/m.exec(content.toString("latin1"))?.[1] ?? "");
      return "250 2.0.0 Ok";
    };
    const enough = Promise.withResolvers<void>();
    const first = new SmtpReceiver((content) => {
      if (arrived.length >= 20) enough.resolve();
      return take(content);
    });
    const second = new SmtpReceiver(take);
    const firstPort = await first.listen();
    const secondPort = await second.listen();
    undo.push(() => second.close());
    const files = await writeConfig(folder.path, firstPort, twoHosts(firstPort, secondPort));
    const relay = await run(files);
    undo.push(() => relay.stop("SIGKILL").then(() => undefined));

    const ids: string[] = [];
    const send = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i += 10) {
        const batch = Array.from({ length: 10 }, () =>
          submit(relay.port, { from: "scanner@contoso.com", to: ["anna@contoso.com"], content: "Subject: scan\r\n\r\nx\r\n" }),
        );
        ids.push(...(await Promise.all(batch)));
      }
    };
    await send(50);
    await enough.promise;
    await first.close();
    await send(50);
    const delivered = async (): Promise<number> =>
      (JSON.parse((await postern(files.configFile, "status", "--json")).stdout) as { queue: { final: { delivered: number } } }).queue.final
        .delivered;
    // What was under way when the first host died, and may have been taken, waits for that host alone.
    const again = new SmtpReceiver(take);
    await again.listen(firstPort);
    undo.push(() => again.close());
    await expect.poll(delivered, { timeout: 30_000, interval: 200 }).toBe(100);

    const lost = arrived.length - new Set(arrived).size;
    const ambiguous = relay.lines.filter((line) => line.includes('"outcome":"ambiguous"')).length;
    expect([...new Set(arrived)].toSorted()).toEqual(ids.toSorted());
    expect(lost).toBeLessThanOrEqual(ambiguous);
    expect(relay.lines.some((line) => line.includes('"event":"recipient.moved"'))).toBe(true);
    expect(relay.lines.filter((line) => line.includes('"event":"recipient.bounced"'))).toEqual([]);
    const moved = relay.lines.flatMap((line) =>
      line.includes("recipient.moved") ? [(JSON.parse(line) as { queueId: string }).queueId] : [],
    )[0];
    expect((await postern(files.configFile, "queue", "show", moved ?? "")).stdout).toMatch(/moved (from \w+ )?to backup/);
  },
);

test("the next hop that nobody listens at is passed by from the first message on", { timeout: 30_000 }, async () => {
  const folder = await tempDir();
  undo.push(() => folder.remove());
  const taken = Promise.withResolvers<void>();
  const second = new SmtpReceiver(() => {
    taken.resolve();
    return "250 2.0.0 Ok";
  });
  undo.push(() => second.close());
  const secondPort = await second.listen();
  const firstPort = await freePort();
  const files = await writeConfig(folder.path, firstPort, twoHosts(firstPort, secondPort));
  const relay = await run(files);
  undo.push(() => relay.stop("SIGKILL").then(() => undefined));

  await submit(relay.port, { from: "scanner@contoso.com", to: ["anna@contoso.com"], content: "Subject: scan\r\n\r\nx\r\n" });
  await taken.promise;
  await relay.waitForEvent("recipient.delivered");

  const { stdout } = await postern(
    files.configFile,
    "explain",
    "--ip",
    "127.0.0.1",
    "--from",
    "scanner@contoso.com",
    "--to",
    "anna@contoso.com",
  );
  expect(stdout).toMatch(/->\tbackup/);
  expect(stdout).toMatch(/paused: /);
});
