/** Alerts by mail: by a door that is open, several in one, never answered, and never about themselves. */
import { afterEach, expect, test } from "vitest";
import type { ReceivedMessage } from "../../src/simulator/mail-store.ts";
import { DEFAULT_SECRET } from "../../src/simulator/tenant.ts";
import { SyslogServer } from "../fakes/syslog-server.ts";
import { freePort } from "../support/ports.ts";
import { ANNA, header, POSTMASTER, SCANNER, startContoso, WRONG_SECRET, type Contoso } from "./tenant.ts";

/** Until a held door has been tried again, and not so long that waiting mail is an alert of its own. */
const SOON = 300_000;
/** What comes within it goes together. */
const GATHER = 5_000;
const ONLY_SCANS = [{ name: "default", via: ["scans"] }];

let contoso: Contoso | undefined;
const undo: (() => unknown)[] = [];
afterEach(async () => {
  try {
    await contoso?.expectSound();
  } finally {
    await contoso?.close();
    contoso = undefined;
    for (const one of undo.splice(0)) await one();
  }
});

const alertMail = (more: object = {}) => ({ alerts: { mail: { to: [POSTMASTER], ...more } } });
const isAlert = (message: ReceivedMessage): boolean => header(message, "Auto-Submitted") === "auto-generated";
const textOf = (message: ReceivedMessage): string => message.content?.toString("latin1") ?? "";

test("a closed door is told by another one that no route leads to, its end by whichever is open, and nobody may answer", async () => {
  contoso = await startContoso({ secret: WRONG_SECRET, via: ["scans", "connector"], routes: ONLY_SCANS, more: () => alertMail() });
  const { sim, clock, scan, event, all, relay } = contoso;
  const held = await scan(SCANNER, ANNA);
  await event("alert.raised", ({ alert }) => alert === "upstream.held");
  clock.advance(GATHER);
  const raised = await sim.waitFor(isAlert);
  await contoso.writeSecret(DEFAULT_SECRET);
  clock.advance(SOON);
  await event("alert.cleared", ({ alert }) => alert === "upstream.held");
  clock.advance(GATHER);
  const over = await sim.waitFor((message) => isAlert(message) && message.id !== raised.id);
  await event("recipient.delivered", ({ queueId }) => queueId === held);
  for (const { queueId } of all("message.generated")) await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

  expect(raised).toMatchObject({ door: "connector", reversePath: "", recipients: [POSTMASTER] });
  expect(["Subject", "Importance", "X-Postern-Loop", "Message-ID"].map((name) => header(raised, name))).toEqual([
    "[critical] upstream.held scans (relay.contoso.com)",
    "high",
    "relay.contoso.com",
    expect.stringMatching(/^<[0-9A-Z]{26}@relay\.contoso\.com>$/),
  ]);
  expect(textOf(raised)).toContain("[critical] upstream.held scans\r\n  An upstream is closed by a fault that needs hands.");
  expect(textOf(raised).replace(/\r\n {2}/g, " ")).toMatch(/upstream scans is held: .*AADSTS7000215.* What to do: /s);
  expect(header(over, "Subject")).toBe("[over] upstream.held scans (relay.contoso.com)");
  expect(all("message.generated").map(({ about }) => about)).toEqual(["alert", "alert"]);
  expect(await relay().queue.statistics()).toMatchObject({ accepted: 1, generated: 2, final: { delivered: 3 } });
  expect(all("alert.notified").map(({ way, state }) => `${way} ${state}`)).toEqual(["mail raised", "mail cleared"]);
});

test("with no other door the notices wait, that is told, and both leave in one mail once the door is open again, after a restart too", async () => {
  contoso = await startContoso({ secret: WRONG_SECRET, more: () => ({ ...alertMail(), bounces: { language: "fr" } }) });
  const { sim, clock, scan, event, all, restart } = contoso;
  await scan(SCANNER, ANNA);
  await event("alert.raised", ({ alert }) => alert === "upstream.held");
  clock.advance(GATHER);
  const failed = await event("alert.notify.failed");
  await restart();
  await contoso.writeSecret(DEFAULT_SECRET);
  clock.advance(SOON);
  await event("alert.cleared", ({ alert }) => alert === "upstream.held");
  clock.advance(60_000);
  const mail = await sim.waitFor(isAlert);
  await event("recipient.delivered", ({ recipient }) => recipient === POSTMASTER);

  expect(failed).toMatchObject({ way: "mail", cause: "no upstream that could carry it is open: scans", waiting: 1 });
  expect(mail).toMatchObject({ door: "submission", reversePath: SCANNER });
  expect(header(mail, "Subject")).toBe("[over] upstream.held scans (relay.contoso.com)");
  expect(textOf(mail).match(/^\[(critical|over)\] upstream\.held scans/gm)).toEqual(["[over] upstream.held scans"]);
  // Reports are in French here; an alert's own words are English, and so is all around them.
  expect(textOf(mail)).toContain("It is over. From ");
  expect(textOf(mail)).not.toMatch(/Termin|Depuis/);
  expect(all("message.generated")).toHaveLength(1);
});

test("a door that turns out to be shut hands the mail on to the next of alerts.mail.via", async () => {
  const dead = await freePort();
  const plain = { type: "smart-host", host: "127.0.0.1", tls: "none" };
  contoso = await startContoso({
    upstreams: () => ({ dead: { ...plain, port: dead }, broken: { ...plain, port: dead, ca: "nowhere.pem" } }),
    routes: ONLY_SCANS,
    more: () => alertMail({ via: ["dead", "scans"] }),
  });
  const { sim, clock, event } = contoso;
  await event("alert.raised", ({ alert }) => alert === "upstream.configuration");
  clock.advance(GATHER);

  const mail = await sim.waitFor(isAlert);
  const moved = await event("recipient.moved");
  await event("recipient.delivered");

  expect(mail).toMatchObject({ door: "submission", subject: "[warning] upstream.configuration broken (relay.contoso.com)" });
  expect(moved).toMatchObject({ from: "dead", to: "scans" });
});

test("an address that takes no alerts is told by the other ways, and neither a report nor another mail is made of it", async () => {
  const syslog = new SyslogServer();
  const port = await syslog.listen();
  undo.push(() => syslog.close());
  contoso = await startContoso({
    secret: WRONG_SECRET,
    via: ["scans", "connector"],
    routes: ONLY_SCANS,
    more: () => ({ alerts: { mail: { to: ["unknown@contoso.com"] }, syslog: { address: `tcp://127.0.0.1:${port}` } } }),
  });
  const { clock, scan, event, all } = contoso;
  await scan(SCANNER, ANNA);
  await event("alert.raised", ({ alert }) => alert === "upstream.held");
  clock.advance(GATHER);
  const bounced = await event("recipient.bounced");
  const told = await syslog.message("alert.raised", "alert.undeliverable");
  // Whatever mail would follow would do so within these.
  clock.advance(GATHER);
  clock.advance(SOON);
  await event("alert.notified", ({ way, alert }) => way === "syslog" && alert === "alert.undeliverable");

  expect(bounced).toMatchObject({ recipient: "unknown@contoso.com", upstream: "connector" });
  expect(told).toContain('subject="unknown@contoso.com"');
  expect(all("message.generated")).toHaveLength(1);
  expect(all("alert.notified").filter(({ way }) => way === "mail")).toHaveLength(1);
});
