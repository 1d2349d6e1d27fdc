import { expect, test } from "vitest";
import type { Condition } from "./alert.ts";
import { AlertBook, MOST_OPEN } from "./book.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const HELD: Condition = { alert: "upstream.held", subject: "scans", text: "held: no token", remedy: "renew the secret" };

const said = (
  notices: readonly ({ readonly state: string; readonly alert: { readonly alert: string; readonly severity: string } } | undefined)[],
): string[] => notices.filter((notice) => notice !== undefined).map(({ state, alert }) => `${state} ${alert.alert} ${alert.severity}`);

test("is raised once, keeps the latest words, and is cleared once", () => {
  const book = new AlertBook(HOUR);
  expect(said([book.raise(HELD, 1)])).toEqual(["raised upstream.held critical"]);
  expect(book.raise({ ...HELD, text: "held: no mailbox" }, 2)).toBeUndefined();
  expect(book.list()).toMatchObject([{ text: "held: no mailbox", since: 1, toldAt: 1, metAt: 2 }]);
  expect(said([book.clear("upstream.held", "scans", 3), book.clear("upstream.held", "scans", 4)])).toEqual([
    "cleared upstream.held critical",
  ]);
  expect(book.list()).toEqual([]);
});

test("is told again when it grows more severe, not when it grows less", () => {
  const book = new AlertBook(HOUR);
  const at = (severity: "info" | "warning" | "critical"): Condition => ({
    alert: "credential.expiring",
    subject: "scans",
    text: "ends",
    severity,
  });
  const told = [at("info"), at("warning"), at("warning"), at("critical"), at("info"), at("warning")].map((condition, time) =>
    book.raise(condition, time),
  );
  expect(told.map((notice) => notice?.alert.severity)).toEqual(["info", "warning", undefined, "critical", undefined, "warning"]);
  expect(book.size).toBe(1);
});

test("is repeated daily while it is open", () => {
  const book = new AlertBook(HOUR);
  book.raise(HELD, 0);
  expect(book.review(DAY - 1)).toEqual([]);
  expect(said(book.review(DAY))).toEqual(["repeated upstream.held critical"]);
  expect(book.review(DAY + HOUR)).toEqual([]);
  expect(said(book.review(2 * DAY))).toEqual(["repeated upstream.held critical"]);
});

test("after a restart what is open is not raised again, and what is not met within the grace is over", () => {
  const before = new AlertBook(HOUR);
  before.raise(HELD, 0);
  before.raise({ ...HELD, subject: "inside" }, 0);
  const after = new AlertBook(HOUR);
  after.restore(before.list(), 10 * HOUR);
  expect(after.raise(HELD, 10 * HOUR)).toBeUndefined();
  expect(after.review(11 * HOUR - 1)).toEqual([]);
  const [over, ...more] = after.review(11 * HOUR);
  expect(over).toMatchObject({ state: "cleared", alert: { subject: "inside" } });
  expect(more).toEqual([]);
  expect(after.review(20 * HOUR)).toEqual([]);
});

test("what a start would meet again, and did not, is over with it; the rest has its grace", () => {
  const before = new AlertBook(HOUR);
  for (const alert of ["config.reload", "certificate.expired", "upstream.held"]) before.raise({ ...HELD, alert }, 0);
  const after = new AlertBook(HOUR);
  after.restore(before.list(), HOUR);
  after.raise({ ...HELD, alert: "certificate.expired" }, HOUR);

  expect(said(after.started(HOUR))).toEqual(["cleared config.reload warning"]);
  expect(after.list().map(({ alert }) => alert)).toEqual(["certificate.expired", "upstream.held"]);
  expect(after.started(HOUR)).toEqual([]);
});

test("what nobody can declare over ends three days after it was last met, restart or not", () => {
  const book = new AlertBook(HOUR);
  book.raise({ alert: "report.undeliverable", subject: "01A", text: "x" }, 0);
  const after = new AlertBook(HOUR);
  after.restore(book.list(), HOUR);
  expect(said(after.review(2 * DAY))).toEqual(["repeated report.undeliverable warning"]);
  after.raise({ alert: "report.undeliverable", subject: "01A", text: "x" }, 2 * DAY);
  expect(said(after.review(5 * DAY - 1))).toEqual(["repeated report.undeliverable warning"]);
  expect(said(after.review(5 * DAY))).toEqual(["cleared report.undeliverable warning"]);
});

test("a look raises what it found and clears what it did not, but what it could not judge, and what is not its own", () => {
  const book = new AlertBook(HOUR);
  book.raise(HELD, 0);
  const old: Condition = { alert: "queue.old", subject: "queue", text: "old" };
  const full: Condition = { alert: "disk.low", subject: "queue", text: "full" };
  expect(said(book.found([old, full], new Set(), 1))).toEqual(["raised queue.old warning", "raised disk.low critical"]);
  expect(book.found([old], new Set(["disk.low"]), 2)).toEqual([]);
  expect(said(book.found([], new Set(), 3))).toEqual(["cleared queue.old warning", "cleared disk.low critical"]);
  expect(book.list()).toMatchObject([{ alert: "upstream.held" }]);
});

test("is bounded in number and words", () => {
  const book = new AlertBook(HOUR);
  for (let i = 0; i <= MOST_OPEN; i++) book.raise({ alert: "sender.held", subject: `scans s${i}@contoso.com`, text: "x".repeat(5000) }, i);
  expect(book.size).toBe(MOST_OPEN);
  expect(book.list()[0]?.text.length).toBe(1000);
  book.clear("sender.held", "scans s0@contoso.com", 0);
  expect(book.raise({ alert: "sender.held", subject: "y".repeat(500), text: "" }, 0)?.alert.subject.length).toBe(400);
  expect(book.clear("sender.held", "y".repeat(500), 0)?.state).toBe("cleared");
});

test("hundreds of held senders keep no other alert from being kept and told", () => {
  const book = new AlertBook(HOUR);
  for (let i = 0; i <= MOST_OPEN; i++) book.raise({ alert: "sender.held", subject: `scans s${i}@contoso.com`, text: "may not send" }, i);

  const first = book.raise(HELD, MOST_OPEN);
  const again = book.raise(HELD, MOST_OPEN + 1);
  const next = new AlertBook(HOUR);
  next.restore(book.list(), DAY);

  expect(said([first, again])).toEqual(["raised upstream.held critical"]);
  expect(book.has("upstream.held", "scans")).toBe(true);
  expect(next.has("upstream.held", "scans")).toBe(true);
});
