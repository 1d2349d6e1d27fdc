import fc from "fast-check";
import { expect, test } from "vitest";
import { Members } from "./members.ts";
import type { Member } from "./members.ts";

interface Numbered extends Member {
  readonly number: number;
}

const all: readonly Numbered[] = Array.from({ length: 8 }, (_, number) => ({ number, slot: -1 }));
const sorted = (members: Iterable<Numbered>): number[] => [...members].map(({ number }) => number).toSorted((a, b) => a - b);

test("members come and go as in a set, whatever the order", () => {
  const acts = fc.array(fc.record({ act: fc.constantFrom("add", "delete", "clear"), who: fc.nat(all.length - 1) }), { maxLength: 60 });
  fc.assert(
    fc.property(acts, (steps) => {
      const members = new Members<Numbered>();
      const model = new Set<Numbered>();
      const found = steps.map(({ act, who }) => {
        const member = all[who] as Numbered;
        const changed = act === "add" ? members.add(member) : act === "delete" ? members.delete(member) : members.clear();
        return [changed, members.size, members.has(member)];
      });
      const expected = steps.map(({ act, who }) => {
        const member = all[who] as Numbered;
        const changed = act === "delete" ? model.delete(member) : void (act === "add" ? model.add(member) : model.clear());
        return [changed, model.size, model.has(member)];
      });
      expect(found).toEqual(expected);
      expect(sorted(members)).toEqual(sorted(model));
      expect(members.find(({ number }) => number === 3)).toBe(model.has(all[3] as Numbered) ? all[3] : undefined);
      members.clear();
      expect(all.map(({ slot }) => slot)).toEqual(all.map(() => -1));
    }),
  );
});

test("members may leave while they are visited", () => {
  const members = new Members<Numbered>();
  for (const member of all) members.add(member);

  const visited: number[] = [];
  for (const member of members) {
    visited.push(member.number);
    members.delete(member);
  }

  expect(visited).toHaveLength(all.length);
  expect(members.size).toBe(0);
});

test("a member of another set is not a member of this one", () => {
  const [here, there] = [new Members<Numbered>(), new Members<Numbered>()];
  const [first, second] = [
    { number: 1, slot: -1 },
    { number: 2, slot: -1 },
  ];
  here.add(first);
  there.add(second);

  expect(here.has(second)).toBe(false);
  expect(here.delete(second)).toBe(false);
  expect(sorted(here)).toEqual([1]);
});
