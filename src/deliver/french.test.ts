import { expect, test } from "vitest";
import { ANSWERS } from "./answers.ts";
import { ENTRA } from "./entra.ts";
import { FAULTS } from "./faults.ts";
import { FRENCH, translated } from "./french.ts";

const PLACEHOLDERS = { mailbox: "scanner@contoso.com", sender: "erp@contoso.com", upstream: "scans" };
/** What the judge says where no row fits. */
const BY_CLASS = [
  "door-temporary",
  "door-refused",
  "policy-refused",
  "refused",
  "deferred",
  "no-answer",
  "ambiguous",
  "corrupt",
  "door-fault",
  "fault",
];

test("every cause has French words, and there are none without a cause", () => {
  const ids = [...[...ANSWERS, ...FAULTS, ...ENTRA].map((row) => row.id), ...BY_CLASS];

  expect(Object.keys(FRENCH).toSorted()).toEqual(ids.toSorted());
});

test("commands and placeholders are the same in both languages", () => {
  const parts = (remedy: string): readonly string[] => [
    ...(remedy.match(/(?:Set|Get|Add|New|Test)-[A-Z]\w+/g) ?? []),
    ...["MAILBOX", "OWN-ADDRESS", "SENDER", "UPSTREAM", "AUTHORITY", "PASSWORD-PLACE", "SECRET-PLACE", "HOST:PORT"].filter((word) =>
      remedy.includes(word),
    ),
  ];

  for (const row of [...ANSWERS, ...FAULTS, ...ENTRA]) {
    const [, remedy = ""] = FRENCH[row.id] ?? [];

    expect([row.id, ...parts(remedy)]).toEqual([row.id, ...parts(row.remedy)]);
  }
});

test.each([
  ["graph-access-denied", "Application Mail.Send", "Application permissions"],
  ["auth-refused", "Application SMTP.SendAsApp", "FullAccess"],
  ["mailbox-logon-failed", "Application SMTP.SendAsApp", "FullAccess"],
])("whoever gave the application one mailbox is not led to give it all: the narrow right comes first (%s)", (id, narrow, broad) => {
  const row = ANSWERS.find((answer) => answer.id === id);

  for (const remedy of [row?.remedy ?? "", FRENCH[id]?.[1] ?? ""]) {
    expect(remedy).toContain(`-Role '${narrow}' -App CLIENT-ID -CustomResourceScope`);
    expect(remedy.indexOf("CustomResourceScope")).toBeLessThan(remedy.indexOf(broad));
  }
});

test("nobody is told to give an application a right for every mailbox where it lacks consent", () => {
  const missing = ENTRA.find(({ id }) => id === "consent-missing");

  for (const remedy of [missing?.remedy ?? "", FRENCH["consent-missing"]?.[1] ?? ""])
    expect(remedy).toMatch(/Delegated permissions.*SMTP\.Send .*'Application SMTP\.SendAsApp' .*-CustomResourceScope/);
});

test("the code of a fault and its detail stay, placeholders are filled in", () => {
  const recipient = {
    address: "a@contoso.com",
    kind: "expired",
    id: "unreachable",
    cause: "the next hop cannot be reached (ECONNREFUSED: 192.0.2.1:587)",
  } as const;

  expect(translated(recipient, PLACEHOLDERS).cause).toBe("le serveur suivant est injoignable (ECONNREFUSED: 192.0.2.1:587)");
  expect(translated({ ...recipient, id: "sender-denied" }, PLACEHOLDERS).remedy).toContain(
    "Add-RecipientPermission -Identity erp@contoso.com -Trustee scanner@contoso.com",
  );
});

test("what has no translation stays as it is", () => {
  const recipient = { address: "a@contoso.com", kind: "failed", id: "new-row", cause: "new" } as const;

  expect(translated(recipient, PLACEHOLDERS)).toBe(recipient);
});
