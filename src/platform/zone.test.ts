import { describe, expect, test } from "vitest";
import { dayOf, lastDayOf, momentOf } from "./zone.ts";

const iso = (local: string, zone: string): string => new Date(momentOf(local, zone)).toISOString();

describe("a time on the wall", () => {
  test.each([
    ["winter", "2026-12-01T12:00", "Europe/Paris", "2026-12-01T11:00:00.000Z"],
    ["summer", "2026-07-01T12:00:30", "Europe/Paris", "2026-07-01T10:00:30.000Z"],
    ["west of Greenwich", "2026-12-01T23:30", "America/New_York", "2026-12-02T04:30:00.000Z"],
    ["a zone with a half hour", "2026-12-01T12:00", "Asia/Kolkata", "2026-12-01T06:30:00.000Z"],
    ["an hour before summer time begins", "2026-03-29T01:30", "Europe/Paris", "2026-03-29T00:30:00.000Z"],
    ["an hour after it began", "2026-03-29T03:30", "Europe/Paris", "2026-03-29T01:30:00.000Z"],
    ["shown twice when it ends: the first", "2026-10-25T02:30", "Europe/Paris", "2026-10-25T00:30:00.000Z"],
    ["after its end", "2026-10-25T03:30", "Europe/Paris", "2026-10-25T02:30:00.000Z"],
    ["with its own zone", "2026-12-01T12:00Z", "Europe/Paris", "2026-12-01T12:00:00.000Z"],
    ["with an offset", "2026-12-01T12:00+05:30", "Europe/Paris", "2026-12-01T06:30:00.000Z"],
  ])("%s", (_case, local, zone, expected) => {
    expect(iso(local, zone)).toBe(expected);
  });

  test("never shown, because summer time skips it, is the time without the change", () => {
    expect(iso("2026-03-29T02:30", "Europe/Paris")).toBe("2026-03-29T01:30:00.000Z");
  });
});

test("the day of a moment is the one on the wall", () => {
  expect(dayOf(Date.parse("2026-12-01T23:30:00Z"), "Europe/Paris")).toBe("2026-12-02");
  expect(dayOf(Date.parse("2026-12-01T03:30:00Z"), "America/New_York")).toBe("2026-11-30");
});

test.each([
  ["a secret that ends with its day", "2026-12-11T00:00:00Z", "2026-12-10"],
  ["a certificate that ends at midnight", "2025-02-01T00:00:00Z", "2025-01-31"],
  ["a certificate that ends a second before", "2025-01-31T23:59:59Z", "2025-01-31"],
  ["a certificate that ends by day", "2025-02-01T09:00:00Z", "2025-02-01"],
])("the last day of %s", (_, endsAt, day) => {
  expect(lastDayOf(Date.parse(endsAt))).toBe(day);
});
