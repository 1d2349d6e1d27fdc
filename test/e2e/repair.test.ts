/** Faults of ours or of Microsoft that good mail must survive: it is accepted, held or deferred, never bounced, and leaves by itself once repaired. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { controlSocketPath } from "../../src/admin/admin.ts";
import { openControlClient } from "../../src/cli/control-client.ts";
import { DEFAULT_SECRET } from "../../src/simulator/tenant.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { ANNA, SCANNER, startContoso, WRONG_SECRET, type Contoso, type ContosoOptions } from "./tenant.ts";

let contoso: Contoso;

async function begin(options?: ContosoOptions): Promise<Contoso> {
  contoso = await startContoso(options);
  return contoso;
}

afterEach(async () => {
  try {
    await contoso.expectSound(true);
  } finally {
    await contoso.close();
  }
});

/** The scanner's mailbox as the stand-in knows it. */
const mailboxOf = (sim: Simulator) => sim.tenant.mailboxes.find(({ address }) => address === SCANNER)!;

interface Trouble {
  readonly what: string;
  readonly options: ContosoOptions;
  readonly cause: RegExp;
  readonly remedy: RegExp;
  readonly repair: (contoso: Contoso) => unknown;
}

const TROUBLES: readonly Trouble[] = [
  {
    what: "a wrong secret (AADSTS7000215)",
    options: { secret: WRONG_SECRET },
    cause: /AADSTS7000215/,
    remedy: /Certificates & secrets/,
    repair: ({ writeSecret }) => writeSecret(DEFAULT_SECRET),
  },
  {
    what: "an expired secret (AADSTS7000222)",
    options: { prepare: ({ tenant }) => void (tenant.apps[0]!.secrets[0]!.expiresAt = Date.now() - 86_400_000) },
    cause: /AADSTS7000222/,
    remedy: /Certificates & secrets/,
    repair: async ({ sim, writeSecret }) => {
      sim.tenant.apps[0]?.secrets.push({ value: "new~secret~of~the~stand-in", expiresAt: Date.now() + 86_400_000 });
      await writeSecret("new~secret~of~the~stand-in");
    },
  },
  {
    what: "a missing secret file",
    options: { secret: null },
    cause: /secret.*(ENOENT|does not exist|cannot be read)/i,
    remedy: /put it there, readable/,
    repair: ({ writeSecret }) => writeSecret(DEFAULT_SECRET),
  },
  {
    what: "SMTP AUTH switched off for the mailbox",
    options: { prepare: (sim) => void (mailboxOf(sim).smtpAuth = false) },
    cause: /SMTP AUTH is switched off for the mailbox/,
    remedy: /Set-CASMailbox -Identity scanner@contoso\.com -SmtpClientAuthenticationDisabled \$false/,
    repair: ({ sim }) => (mailboxOf(sim).smtpAuth = true),
  },
  {
    what: "a certificate that is not uploaded (AADSTS700027)",
    options: { credential: "client-certificate", prepare: ({ tenant }) => void tenant.apps[0]!.certificates.splice(0) },
    cause: /AADSTS700027/,
    remedy: /Upload the certificate/,
    repair: async ({ sim, folder }) => {
      sim.tenant.apps[0]?.certificates.push(await readFile(`${folder}/stand-in/client-certificate.pem`, "utf8"));
    },
  },
];

test.each(TROUBLES)("with $what mail is held with an alert and a remedy, and leaves by itself when it is repaired", async (trouble) => {
  const { clock, relay, scan, event, all } = await begin(trouble.options);

  const held = await event("upstream.held");
  const ids = [await scan(SCANNER, ANNA), await scan("printers@contoso.com", ANNA, "bruno@contoso.com")];
  // Probes that fail raise no further alert.
  for (const probes of [1, 2]) {
    clock.advance(5_000);
    await untilProbes(contoso, probes);
  }
  const entries = await relay().queue.list({}, 10);
  const alerts = all("alert.raised").filter(({ alert }) => alert === "upstream.held");

  expect(held).toMatchObject({
    upstream: "scans",
    cause: expect.stringMatching(trouble.cause),
    remedy: expect.stringMatching(trouble.remedy),
  });
  expect(alerts).toMatchObject([{ subject: "scans", remedy: expect.stringMatching(trouble.remedy) }]);
  expect(entries.map(({ state, heldBy, lane }) => `${state} ${heldBy} ${lane}`)).toEqual(
    Array.from({ length: 3 }, () => "held upstream scans"),
  );

  await trouble.repair(contoso);
  clock.advance(10_000);
  await event("upstream.released");
  await event("recipient.delivered", ({ queueId }) => queueId === ids[0]);
  await event("recipient.delivered", ({ recipient }) => recipient === "bruno@contoso.com");

  expect(all("alert.cleared")).toMatchObject([{ alert: "upstream.held", subject: "scans" }]);
  expect(contoso.sim.messages()).toHaveLength(2);
  expect(await relay().queue.statistics()).toMatchObject({ final: { delivered: 3 }, waiting: { held: 0 } });
});

/** Probes are no events; the door's hold counts them. */
async function untilProbes({ relay }: Contoso, probes: number): Promise<void> {
  const counted = async (): Promise<number> => (await relay().queue.statistics()).lanes[0]?.hold?.probes ?? 0;
  while ((await counted()) < probes) await new Promise((resolve) => setImmediate(resolve));
}

test("a hold survives a restart, and a start after the repair lets the mail go without waiting for a probe", async () => {
  const { relay, scan, event, restart, writeSecret } = await begin({ secret: WRONG_SECRET });
  await event("upstream.held");
  const queueId = await scan(SCANNER, ANNA);

  await writeSecret(DEFAULT_SECRET);
  await restart();
  await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

  expect(await relay().queue.show(queueId)).toMatchObject({ entries: [{ state: "delivered" }] });
});

test("an operator's retry tries the repaired door at once, instead of leaving it to the next probe", async () => {
  const { folder, scan, event, writeSecret } = await begin({ secret: WRONG_SECRET, retryFirst: "1d" });
  await event("upstream.held");
  const queueId = await scan(SCANNER, ANNA);

  await writeSecret(DEFAULT_SECRET);
  await openControlClient(controlSocketPath(join(folder, "data"))).post("/api/v1/queue/retry", { ids: [queueId], by: "anna" });
  await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

  expect(contoso.sim.messages()).toHaveLength(1);
});

test("while the token endpoint answers 503 mail is deferred and the door pauses; it leaves when the endpoint is back", async () => {
  const { sim, clock, relay, scan, event, all } = await begin({ prepare: ({ faults }) => void faults.set("entra-down") });

  const paused = await event("upstream.paused");
  const queueId = await scan(SCANNER, ANNA);
  clock.advance(6_000);
  const deferred = await event("recipient.deferred");
  sim.faults.clear();
  clock.advance(15_000);
  await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

  expect(paused.cause).toMatch(/HTTP_503/);
  expect(deferred).toMatchObject({ queueId, cause: expect.stringMatching(/HTTP_503/) });
  expect(all("upstream.held")).toEqual([]);
  expect(await relay().queue.statistics()).toMatchObject({ final: { delivered: 1 } });
});

test("while the token endpoint says nothing mail is accepted all the same, and leaves when it answers", async () => {
  const { sim, scan, event, all } = await begin({ prepare: ({ faults }) => void faults.set("entra-hold") });
  await sim.faults.active()[0]?.reached(1);

  const ids = [await scan(SCANNER, ANNA), await scan(SCANNER, ANNA)];
  const before = sim.messages().length;
  sim.faults.clear();
  for (const id of ids) await event("recipient.delivered", ({ queueId }) => queueId === id);

  expect(before).toBe(0);
  expect([...all("upstream.held"), ...all("upstream.paused"), ...all("recipient.deferred")]).toEqual([]);
});

test("while the submission host resets every connection mail is deferred, and leaves when it is back", async () => {
  const { sim, clock, scan, event, all } = await begin({ prepare: ({ faults }) => void faults.set("connection-reset") });

  await event("upstream.paused");
  const queueId = await scan(SCANNER, ANNA);
  clock.advance(6_000);
  await event("recipient.deferred");
  sim.faults.clear();
  clock.advance(15_000);
  await event("recipient.delivered", (delivered) => delivered.queueId === queueId);

  expect(all("upstream.held")).toEqual([]);
});
