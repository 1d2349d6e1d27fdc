/** The tables against the catalogue: every row can be found, says what is done, and none is missing. */
import { describe, expect, test } from "vitest";
import { facts, refused } from "../../test/fakes/fake-upstream.ts";
import type { UpstreamType } from "../upstream/upstream.ts";
import { ANSWERS, ELSEWHERE } from "./answers.ts";
import { ENTRA } from "./entra.ts";
import { renderErrorsPage } from "./errors-doc.ts";
import { FAULTS } from "./faults.ts";
import { isBeforeMail, judge, judgeRefusal, type DoorEffect, type JudgeContext, type Verdict } from "./judge.ts";
import type { AnswerRow, Meaning } from "./meaning.ts";

function door(type: UpstreamType, mailbox?: string): JudgeContext {
  return {
    upstream: type,
    type,
    microsoft: type !== "smart-host",
    mailbox,
    sender: "erp@contoso.com",
    isInternal: (address) => address.endsWith("@contoso.com"),
  };
}

/** A door that the row speaks of. */
function doorOf(row: AnswerRow): JudgeContext {
  const type = row.doors?.[0] ?? "smtp-auth";
  return door(type, type === "smtp-auth" || type === "graph" ? "scanner@contoso.com" : undefined);
}

const EXAMPLES = ANSWERS.flatMap((row) => row.examples.map(([stage, wire]) => [row.id, stage, wire, row] as const));

describe("every example", () => {
  test.each(EXAMPLES)("%s: at %s, %s finds its row", (id, stage, wire, row) => {
    expect(judgeRefusal(refused(stage, wire), doorOf(row), row).id).toBe(id);
  });

  test.each(EXAMPLES)("%s: at %s, %s finds it behind Microsoft's host names too", (id, stage, wire, row) => {
    const named = `${wire} [AM0P190CA0005.EURP190.PROD.OUTLOOK.COM 2026-01-05T09:00:00.000Z 08DD] [AM0P] [VE1EUR01FT034.eop-EUR01.prod.protection.outlook.com]`;

    expect(judgeRefusal(refused(stage, named), doorOf(row), row).id).toBe(id);
  });

  const ALONE = EXAMPLES.filter(
    ([, , , row]) => row.othersOutsideAccepted === undefined && row.severalRecipients === undefined && row.ownSender === undefined,
  );
  test.each(ALONE)("%s: at %s, %s harms only whom it concerns", (_id, stage, wire, row) => {
    const context = doorOf(row);
    const { verdicts, door: effect } = judge(
      facts({ recipients: ["a@x.example"] }, { refusal: refused(stage, wire) }),
      ["a@x.example"],
      context,
    );

    expect(verdicts.map(summary)).toEqual([expected(row)]);
    expect(effect.kind).toBe(expectedEffect(row));
    expect(rendered(verdicts[0])).not.toMatch(/MAILBOX|SENDER\b|UPSTREAM/);
  });
});

/** What an only recipient comes to, from the row alone: `next hold sender`. */
function expected(row: Meaning): string {
  const ofDoor = row.scope === "upstream" || row.scope === "mailbox" || row.scope === "tenant";
  const own = row.outcome === "bounce" ? "bounce" : row.outcome === "hold" ? `hold ${ofDoor ? "upstream" : "sender"}` : "retry";
  return row.next === true && own !== "hold upstream" ? `next ${own}` : own;
}

function expectedEffect(row: Meaning): DoorEffect["kind"] {
  if (row.scope !== "upstream" && row.scope !== "mailbox" && row.scope !== "tenant") return "works";
  return row.outcome === "hold" ? "hold" : row.outcome === "slow" ? "slow" : "pause";
}

function summary(verdict: Verdict): string {
  if (verdict.kind === "next") return `next ${summary(verdict.otherwise)}`;
  return verdict.kind === "hold" ? `hold ${verdict.by}` : verdict.kind;
}

function rendered(verdict: Verdict | undefined): string {
  return verdict === undefined || verdict.kind === "delivered" || verdict.kind === "return" ? "" : verdict.finding.remedy;
}

/** Outcome, scope and next of each row in one list, so that a change of any is seen. Catalogue numbers first. */
test("what is done for each answer", () => {
  const lines = [...ANSWERS, ...FAULTS, ...ENTRA].map((row) => {
    const numbers = "catalogue" in row ? (row.catalogue?.join(" ") ?? "") : "";
    return `${numbers.padEnd(6)}${row.id.padEnd(28)}${row.outcome} ${row.scope}${row.next === true ? " next" : ""}${row.waitMs === undefined ? "" : ` ${row.waitMs / 1000}s`}`;
  });

  expect(lines).toMatchSnapshot();
});

test("all 86 numbers of the catalogue are there, none twice", () => {
  const numbers = [...ANSWERS.flatMap((row) => row.catalogue ?? []), ...ELSEWHERE.map((row) => row.catalogue)];
  const letters = new Map<number, string[]>();
  for (const number of numbers) {
    const [, digits = "", letter = ""] = /^(\d+)([a-z]?)$/.exec(number) ?? [];
    letters.set(Number(digits), [...(letters.get(Number(digits)) ?? []), letter].toSorted());
  }

  expect([...letters.keys()].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 86 }, (_, i) => i + 1));
  // One row without a letter, or a, b, c … without a gap.
  for (const found of letters.values()) expect([[""], ["a", "b"], ["a", "b", "c"]]).toContainEqual(found);
});

test("every AADSTS number of the catalogue has a remedy of its own", () => {
  const numbers = [
    7000215, 7000222, 7000218, 700016, 700011, 90002, 90038, 65001, 90094, 700027, 50012, 700024, 700030, 7000112, 50057, 50034, 50126,
    50055, 50053, 50076, 50079, 53003, 530032, 530035, 70008, 700082, 70043, 50173, 70016, 70019, 70011, 500011, 50196, 90033, 90006, 90024,
    50033, 90055,
  ];
  const known = ENTRA.flatMap((row) => row.codes);

  expect(numbers.filter((number) => !known.includes(`AADSTS${number}`))).toEqual([]);
  expect(new Set(known).size).toBe(known.length);
});

test("ids are unique, and nothing that is the upstream's fault bounces", () => {
  const rows: Meaning[] = [...ANSWERS, ...FAULTS, ...ENTRA];

  expect(new Set(rows.map((row) => row.id)).size).toBe(rows.length);
  expect(rows.filter((row) => ["upstream", "mailbox", "tenant"].includes(row.scope) && row.outcome === "bounce")).toEqual([]);
});

test("every row is on the page of errors, with its remedy and every reply", () => {
  const page = renderErrorsPage();

  for (const row of [...ANSWERS, ...FAULTS, ...ENTRA, ...ELSEWHERE]) expect(page).toContain(row.remedy.replaceAll("|", "\\|"));
  for (const row of ANSWERS) for (const [, wire] of row.examples) expect(page).toContain(wire.replaceAll("|", "\\|"));
  for (const row of ELSEWHERE) expect(page).toContain(row.reply);
});

describe("what the door is decides", () => {
  const unknown = refused("rcpt", "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)");
  const relayDenied = refused("rcpt", "550 5.7.64 TenantAttribution; Relay Access Denied ATTR36");
  const OUTSIDE = ["a@x.example", "b@y.example"];
  const one = (refusal: typeof unknown, context: JudgeContext): string | undefined =>
    judge(facts({ recipients: OUTSIDE }, { recipients: [{ address: "a@x.example", refusal }] }), ["a@x.example"], context).verdicts.map(
      summary,
    )[0];

  test("5.4.1 bounces, but from Direct Send the next door takes it", () => {
    expect(one(unknown, door("smtp-auth", "scanner@contoso.com"))).toBe("bounce");
    expect(one(unknown, door("connector"))).toBe("bounce");
    expect(one(unknown, door("direct-send"))).toBe("next bounce");
  });

  test("5.7.64 holds while all outside fail, and bounces where another outside was taken", () => {
    const both = (first: string) =>
      judge(
        facts({ recipients: OUTSIDE }, { recipients: [{ address: first }, { address: "b@y.example", refusal: relayDenied }] }),
        [first, "b@y.example"],
        door("connector"),
      ).verdicts.map(summary);

    expect(both("a@x.example")).toEqual(["delivered", "bounce"]);
    expect(both("anna@contoso.com")).toEqual(["delivered", "next hold sender"]);
    expect(one(relayDenied, door("direct-send"))).toBe("next hold sender");
  });

  test("the mailbox's fault is the door's where one mailbox sends for all, and the sender's where each has its own", () => {
    const denied = refused("final", "403 ErrorAccessDenied: Access is denied.");
    const own = judgeRefusal(denied, door("graph"));

    expect(judgeRefusal(denied, door("graph", "scanner@contoso.com"))).toMatchObject({ outcome: "hold", scope: "upstream" });
    expect(own).toMatchObject({ outcome: "hold", scope: "sender", next: true });
    expect(own.remedy).toContain("-Resource erp@contoso.com");
  });

  test("a Graph answer's words mean nothing at another door", () => {
    expect(judgeRefusal(refused("final", "429 TooManyRequests: Too many requests"), door("smtp-auth"))).toMatchObject({ id: "deferred" });
  });

  test.each([
    ["400 Whatever: unknown", "retry", "message"],
    ["418 Whatever: unknown", "retry", "message"],
    ["599 Whatever: unknown", "retry", "message"],
    ["403 Whatever: unknown", "hold", "message"],
    ["401 Whatever: unknown", "hold", "upstream"],
  ])("Graph's %s, which no row with words knows, is %s of the %s", (wire, outcome, scope) => {
    expect(judgeRefusal(refused("final", wire), door("graph", "scanner@contoso.com"))).toMatchObject({ outcome, scope });
  });
});

test("a wait that the other side asks for is obeyed, but does not open what is held", () => {
  const asked = (wire: string) => judgeRefusal({ ...refused("final", wire), retryAfterMs: 17_000 }, door("graph", "scanner@contoso.com"));

  expect(asked("429 TooManyRequests: Too many requests").waitMs).toBe(17_000);
  expect(asked("503 ServiceUnavailable: x").waitMs).toBe(17_000);
  expect(asked("401 InvalidAuthenticationToken: x").waitMs).toBeUndefined();
});

/** A small generator with a seed, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test("whatever is answered, the judge has a verdict: none throws, an unknown 4xx and whatever comes before mail never bounce", () => {
  const next = random(20_260_105);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)] as T;
  const words = [
    "",
    "Access denied",
    "SendAsDenied",
    "mailbox full",
    "[HOST] [",
    "]]]",
    "PRX9",
    "STARTTLS",
    "\n5.7.1 x",
    "\u0000é😀",
    "Error: 535 5.7.139 x",
    "ATTR38",
  ];
  const doors = [door("smtp-auth", "m@contoso.com"), door("graph"), door("direct-send"), door("connector"), door("smart-host")];
  const wrong: string[] = [];
  for (let i = 0; i < 20_000; i += 1) {
    const stage = pick(["connect", "greeting", "ehlo", "starttls", "token", "auth", "mail", "rcpt", "data", "content", "final"] as const);
    const code = 200 + Math.floor(next() * 400);
    const enhanced = next() < 0.3 ? undefined : `${pick([2, 4, 5])}.${Math.floor(next() * 8)}.${Math.floor(next() * 900)}`;
    const refusal = { stage, reply: { code, enhanced, text: `${pick(words)} ${pick(words)} ${pick(words)}` } };
    const context = pick(doors);

    const { verdicts } = judge(facts({ recipients: ["a@x.example"] }, { refusal }), ["a@x.example"], context);

    const [verdict] = verdicts;
    const known = verdict !== undefined && "finding" in verdict && ANSWERS.some((row) => row.id === verdict.finding.id);
    const why = JSON.stringify([context.type, refusal, verdict]);
    const mustNot = isBeforeMail(stage) || (code >= 400 && code < 500 && !known);
    if (mustNot && verdicts.map(summary).some((what) => what.includes("bounce"))) wrong.push(why);
  }
  expect(wrong).toEqual([]);
});
