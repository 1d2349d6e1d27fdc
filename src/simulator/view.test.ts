import { request } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { runInNewContext } from "node:vm";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { usedKeys } from "../../test/support/keys.ts";
import { FAULTS } from "./fault-table.ts";
import { ContentBuffer, MailStore } from "./mail-store.ts";
import { FaultBook } from "./faults.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";
import { findMailbox, makeTenant } from "./tenant.ts";
import { DEFAULT_SIGN_IN, UserSignIns } from "./user-sign-ins.ts";
import { renderFaults } from "./view-control-pages.ts";
import { PAGE_SCRIPT } from "./view-assets.ts";
import { renderMailbox, renderMessage } from "./view-mail-pages.ts";
import type { PageContext } from "./view-html.ts";
import { renderPage } from "./view-page.ts";
import { ManualClock } from "../platform/clock.ts";

const directory = mkdtempSync(path.join(tmpdir(), "stand-in-"));
let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({ keys: usedKeys(), directory });
});
afterEach(() => simulator.reset());
afterAll(async () => {
  await simulator.close();
  rmSync(directory, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

function ask(method: string, target: string, options: { body?: unknown; headers?: Record<string, string> } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { ...(options.body === undefined ? {} : { "content-type": "application/json" }), ...options.headers };
    const call = request(new URL(target, simulator.viewUrl), { method, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => (text += piece));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text, headers: response.headers }));
    });
    call.on("error", reject);
    call.end(options.body === undefined ? undefined : JSON.stringify(options.body));
  });
}

function stored(content: string): MailStore {
  const store = new MailStore();
  const buffer = new ContentBuffer(store);
  buffer.add(Buffer.from(content));
  const address = "anna@contoso.com";
  store.add(
    {
      receivedAt: 0,
      deliveredAt: 0,
      throttled: false,
      door: "submission",
      mailbox: "scanner@contoso.com",
      method: "XOAUTH2",
      tls: "TLSv1.3",
      helo: "h",
      remoteAddress: "127.0.0.1",
      reversePath: "scanner@contoso.com",
      recipients: [address],
      internal: [address],
      external: [],
      mailParameters: [],
      upstreamId: "<x@y>",
      inSentItems: true,
      bcc: [],
    },
    buffer,
  );
  return store;
}

function pageContext(store: MailStore): PageContext {
  const tenant = makeTenant();
  const clock = new ManualClock();
  return { tenant, store, clock, faults: new FaultBook(), signIns: new UserSignIns(tenant, clock, DEFAULT_SIGN_IN), services: () => [] };
}

test("the page shows text as text, subjects decoded, under a policy that allows no foreign resource", async () => {
  const store = stored("From: a@contoso.com\r\nSubject: =?utf-8?q?caf=C3=A9?= <script>alert(1)</script>\r\n\r\nx\r\n");

  const page = renderPage(pageContext(store));
  const { headers } = await ask("GET", "/");

  expect(page).toContain("café &#60;script&#62;");
  expect(page).not.toContain("<script>alert");
  expect(headers["content-security-policy"]).toMatch(/^default-src 'none'; style-src 'self'; script-src 'self'/);
});

test("a fault is listed, switched on, and cleared", async () => {
  const on = await ask("POST", "/api/faults", { body: { name: "mailbox-full", count: 3, mailbox: "scanner@contoso.com" } });
  const listed = JSON.parse((await ask("GET", "/api/faults")).text) as { active: unknown[]; available: unknown[] };
  await ask("DELETE", "/api/faults");

  expect(on.status).toBe(201);
  expect(listed.active).toMatchObject([{ name: "mailbox-full", stage: "final", count: 3, remaining: 3, applied: 0 }]);
  expect(listed.available).toHaveLength(FAULTS.length);
  expect(simulator.faults.active()).toEqual([]);
});

test.each([
  ["an unknown fault", { name: "nonsense" }, 404],
  ["a count of nought", { name: "mailbox-full", count: 0 }, 400],
  ["an unknown key", { name: "mailbox-full", often: 3 }, 400],
])("%s is refused", async (_, body, status) => {
  expect((await ask("POST", "/api/faults", { body })).status).toBe(status);
});

test("the tenant is changed whole or not at all", async () => {
  const scanner = findMailbox(simulator.tenant, "scanner@contoso.com");
  const good = await ask("POST", "/api/tenant", { body: { mailboxes: { "scanner@contoso.com": { smtpAuth: false } } } });
  const bad = await ask("POST", "/api/tenant", {
    body: { mailboxes: { "scanner@contoso.com": { smtpAuth: true, limits: { speed: 1 } } } },
  });

  expect(good.status).toBe(200);
  expect(bad).toMatchObject({ status: 400 });
  expect(bad.text).toContain("limits.speed: unknown");
  expect(scanner?.smtpAuth).toBe(false);
});

test.each([
  [
    { rejectDirectSend: true, licenses: 0, trial: true, edgeBlocking: false },
    { rejectDirectSend: true, licenses: 0, trial: true, edgeBlocking: false },
  ],
  [{ domains: ["Fabrikam.example"] }, { domains: ["fabrikam.example"] }],
  [
    {
      connectors: {
        "Relay by address": { senderIpAddresses: ["127.0.0.5", "192.0.2.0/24"] },
        "Relay by certificate": null,
        New: { type: "Partner" },
      },
    },
    {
      connectors: [
        { name: "Relay by address", senderIpAddresses: ["127.0.0.5", "192.0.2.0/24"] },
        { name: "New", type: "Partner", enabled: true },
      ],
    },
  ],
  [{ hveAccounts: { "hve@contoso.com": { basicAuth: "off" } } }, { hveAccounts: [{ address: "hve@contoso.com", basicAuth: "off" }] }],
  [
    { acsResources: { "contoso-acs": { messagesPerHour: 5 } } },
    { acsResources: [{ limits: { messagesPerMinute: 30, messagesPerHour: 5 } }] },
  ],
  [
    {
      dns: {
        failures: { "contoso.com": "SERVFAIL" },
        mxHosts: { "contoso.com": "a.mx.microsoft" },
        records: [{ name: "x.example", type: "A", data: "127.0.0.9" }],
      },
    },
    { dns: { failures: { "contoso.com": "SERVFAIL" }, mxHosts: { "contoso.com": "a.mx.microsoft" }, addresses: ["127.0.0.1"] } },
  ],
])("mail flow is patched: %j", async (body, expected) => {
  Object.assign(simulator.tenant, makeTenant());

  expect(await ask("POST", "/api/tenant", { body })).toMatchObject({ status: 200 });

  expect(simulator.tenant).toMatchObject(expected);
});

test.each([
  [{ connectors: { x: { senderIpAddresses: ["10.0.0.0/8"] } } }, "senderIpAddresses: expected IPv4 addresses or networks of /24 to /32"],
  [{ connectors: { x: { type: "onpremises" } } }, "type: expected OnPremises, Partner"],
  [{ connectors: { x: { speed: 1 } } }, "speed: unknown"],
  [{ domains: ["not a domain"] }, "domains: expected a domain name"],
  [{ licenses: -1 }, "licenses: expected a whole number"],
  [{ trustedRoots: ["junk"] }, "trustedRoots: expected a list"],
  [{ dns: { failures: { "contoso.com": "BROKEN" } } }, "failures.contoso.com: expected SERVFAIL"],
  [{ dns: { records: [{ name: "a.example", type: "A", data: "::1" }] } }, "records.data: ::1 is no data of an A record"],
  [{ rejectDirectsend: true }, "rejectDirectsend: unknown; expected smtpAuthDisabled"],
])("a patch that cannot be carried out changes nothing: %j", async (body, message) => {
  const before = structuredClone(simulator.tenant);

  const answer = await ask("POST", "/api/tenant", { body: { licenses: 99, ...body } });

  expect(answer.status).toBe(400);
  expect(answer.text).toContain(message);
  expect(simulator.tenant).toEqual(before);
});

test("the clock is moved over HTTP", async () => {
  const before = simulator.clock.now();

  const moved = await ask("POST", "/api/clock", { body: { advance: "1d" } });
  const refused = await ask("POST", "/api/clock", { body: { advance: "soon" } });

  expect(moved.status).toBe(200);
  expect(JSON.parse(moved.text)).toMatchObject({ aheadMs: 24 * 60 * 60_000 });
  expect(simulator.clock.now() - before).toBeGreaterThanOrEqual(24 * 60 * 60_000);
  expect(refused).toMatchObject({ status: 400 });
  simulator.clock.set(before);
});

test.each([
  ["a foreign host name", { host: "evil.example" }, 403],
  ["a foreign origin", { origin: "http://evil.example" }, 403],
  ["a form of another site", { "content-type": "text/plain" }, 415],
])("%s cannot switch anything", async (_, headers: Record<string, string>, status) => {
  const answer = await ask("POST", "/api/faults", { body: { name: "mailbox-full" }, headers });

  expect(answer.status).toBe(status);
  expect(simulator.faults.active()).toEqual([]);
});

test("what is not there is a 404", async () => {
  for (const target of ["/nothing", "/api/nothing", "/api/messages/99", "/api/messages/99.eml"])
    expect((await ask("GET", target)).status).toBe(404);
});

test("a browser that follows a link to what is gone gets a page that leads on, a program its line of JSON", async () => {
  const browser = await ask("GET", "/messages/99", { headers: { accept: "text/html,application/xhtml+xml" } });
  const program = await ask("GET", "/messages/99", { headers: { accept: "*/*" } });

  expect([browser.status, browser.headers["content-type"]]).toEqual([404, "text/html; charset=utf-8"]);
  expect(browser.text).toMatch(/<h1>Not here<\/h1>.*<a href="\/">/s);
  expect(program).toMatchObject({ status: 404, text: '{"error":"there is no such page"}' });
});

test("of hundreds of buttons each says what it is about, to those who hear them one after the other", () => {
  const context = pageContext(new MailStore());
  context.faults.set("mailbox-full", { count: 1 });
  const names = [...renderFaults(context).matchAll(/<button [^>]*aria-label="([^"]*)"/g)].map(([, name]) => name);

  expect(new Set(names).size).toBe(names.length);
  expect(names).toEqual(expect.arrayContaining(["clear: mailbox-full", "once: mailbox-full", "on: mailbox-full"]));
});

test("a page whose stand-in was stopped meanwhile says so at the next click", async () => {
  const problem = { textContent: "", hidden: true, scrollIntoView: () => undefined };
  let click: (event: object) => void = () => undefined;
  const page = {
    document: {
      getElementById: (id: string) => (id === "problem" ? problem : null),
      addEventListener: (_: string, listener: typeof click) => (click = listener),
    },
    addEventListener: () => undefined,
    sessionStorage: { getItem: () => null, removeItem: () => undefined },
    location: { pathname: "/faults" },
    fetch: () => Promise.reject(new TypeError("Failed to fetch")),
  };
  runInNewContext(PAGE_SCRIPT, page);

  click({ target: { dataset: { fault: "mailbox-full" } } });

  await expect.poll(() => problem).toMatchObject({ textContent: expect.stringContaining("does not answer"), hidden: false });
});

test("every page shows text as text, wherever it came from", () => {
  const context = pageContext(
    stored('From: "<b>x</b>" <a@contoso.com>\r\nSubject: <i>y</i>\r\nX-Note: <u>z</u>\r\n\r\n<script>w</script>\r\n'),
  );
  const [message] = context.store.messages;
  const anna = findMailbox(context.tenant, "anna@contoso.com");

  const pages =
    message === undefined || anna === undefined ? "" : renderPage(context) + renderMailbox(context, anna) + renderMessage(context, message);

  expect(pages).toContain("&#60;script&#62;w");
  expect(pages).not.toMatch(/<[ibu]>[xyz]<|<script>w/);
});

test("the page lists what came by one door", () => {
  const context = pageContext(stored("Subject: by submission\r\n\r\nx\r\n"));

  expect(renderPage(context, "submission")).toContain("by submission");
  expect(renderPage(context, "graph")).not.toContain("by submission");
});

test("where a row becomes a card each cell names its column, and the page that is shown is marked", () => {
  const context = pageContext(stored("Subject: Scan 7\r\n\r\nx\r\n"));

  expect(renderPage(context)).toMatch(
    /<table class="cards">.*<td data-head="from">scanner@<wbr>contoso\.com<\/td>.*<td data-head="subject"><a /s,
  );
  expect(renderPage(context)).toContain('<a href="/" aria-current="true">Mail</a>');
  expect(renderFaults(context)).toMatch(/<a href="\/">Mail<\/a>.*<a href="\/faults" aria-current="true">/);
});

test("what is looked for among the faults stands in the address, as text", async () => {
  const { text } = await ask("GET", `/faults?find=${encodeURIComponent('mail "box"')}`);

  expect(text).toContain('type="search" value="mail &#34;box&#34;"');
  expect(text).toContain(`<span id="found" aria-live="polite">${FAULTS.length}</span>`);
});

test("a fault that comes one more time says once", () => {
  const context = pageContext(new MailStore());
  context.faults.set("mailbox-full", { count: 1 });

  expect(renderFaults(context)).toMatch(/>once more<.*>0 times</s);
});

test("a mailbox has its Inbox and the Sent Items of those who sent", async () => {
  const context = pageContext(stored("Subject: Scan 7\r\n\r\nx\r\n"));
  const pageOf = (address: string): string => {
    const mailbox = findMailbox(context.tenant, address);
    return mailbox === undefined ? "" : renderMailbox(context, mailbox);
  };

  expect(pageOf("anna@contoso.com")).toMatch(/Inbox \(1\)[\s\S]*Scan 7[\s\S]*Sent Items \(0\)/);
  expect(pageOf("scanner@contoso.com")).toMatch(/Inbox \(0\)[\s\S]*Sent Items \(1\)[\s\S]*Scan 7/);
});

test.each(["/", "/?door=graph", "/faults", "/sign-ins", "/devicelogin", "/mailboxes/anna%40contoso.com"])(
  "%s is a page",
  async (target) => {
    const answer = await ask("GET", target);

    expect(answer.status).toBe(200);
    expect(answer.text).toContain("</html>");
  },
);

test.each(["/mailboxes/nobody%40contoso.com", "/mailboxes/%ff", "/messages/99", "/faults/x"])("%s is none", async (target) => {
  expect((await ask("GET", target)).status).toBe(404);
});

test("roles, public clients, Sent Items, hosting and cloud are switched over HTTP", async () => {
  const app = simulator.tenant.apps[0];
  const before = structuredClone({ app, tenant: simulator.tenant.cloud });
  const clientId = app?.clientId ?? "";
  const roleAssignments = [{ role: "Application Mail.Send", scope: ["scanner@contoso.com"] }];

  const good = await ask("POST", "/api/tenant", {
    body: {
      cloud: "gcc-high",
      apps: { [clientId]: { publicClient: false, roleAssignments } },
      mailboxes: { "anna@contoso.com": { keepsSubmissionCopies: false, hosting: "on-premises" } },
    },
  });
  const wrong = await ask("POST", "/api/tenant", {
    body: { apps: { [clientId]: { roleAssignments: [{ role: "Owner", scope: "all" }] } } },
  });
  const strange = await ask("POST", "/api/tenant", { body: { cloud: "mars" } });

  expect([good.status, wrong.status, strange.status]).toEqual([200, 400, 400]);
  expect(simulator.tenant.cloud).toBe("gcc-high");
  expect(app).toMatchObject({ publicClient: false, roleAssignments });
  expect(findMailbox(simulator.tenant, "anna@contoso.com")).toMatchObject({ keepsSubmissionCopies: false, hosting: "on-premises" });
  Object.assign(simulator.tenant, { cloud: before.tenant });
  Object.assign(app ?? {}, before.app);
});
