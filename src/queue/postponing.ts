/** Failures that wait to be reported together. They are written in the commit that made them final, so a crash leaves none untold. */
import type { Accepting } from "./accepting.ts";
import type { PostponedEntriesCommand, TellPostponedCommand } from "./protocol.ts";
import type { PostponedReport, ReportWindow } from "./queue.ts";
import type { Store } from "./store.ts";

export interface Postponing {
  add(report: PostponedReport): void;
  windows(): (ReportWindow & { readonly entries: number })[];
  entries(command: PostponedEntriesCommand): { entries: string[]; count: number; last: number };
  tell(command: TellPostponedCommand): number;
}

/** Prepares the statements. */
export function postponing(store: Store, accept: Accepting): Postponing {
  const insert = store.prepare("INSERT INTO postponed(addressee, topic, since, entry) VALUES(?, ?, ?, ?)");
  const all = store.prepare("SELECT addressee, topic, since, count(entry) FROM postponed GROUP BY addressee, topic, since ORDER BY since");
  const mine = "FROM postponed WHERE addressee = ? AND topic = ? AND since = ?";
  const first = store.prepare(`SELECT entry ${mine} AND entry IS NOT NULL ORDER BY id LIMIT ?`);
  const measure = store.prepare(`SELECT count(entry), coalesce(max(id), 0) ${mine}`);
  const remove = store.prepare(`DELETE ${mine} AND id <= ?`);

  const size = ({ to, topic, since }: ReportWindow): [count: number, last: number] =>
    measure.get(to, topic, since) as unknown as [number, number];

  return {
    add({ to, topic, since, entry }) {
      insert.run(to, topic, since, entry ?? null);
    },
    windows() {
      return (all.all() as unknown as [string, string, number, number][]).map(([to, topic, since, entries]) => ({
        to,
        topic,
        since,
        entries,
      }));
    },
    entries({ window, limit }) {
      const [count, last] = size(window);
      const found = first.all(window.to, window.topic, window.since, limit) as unknown as [string][];
      return { entries: found.map(([entry]) => entry), count, last };
    },
    tell({ window, last, report }) {
      if (report !== undefined) accept.accept(report);
      remove.run(window.to, window.topic, window.since, last);
      return size(window)[0];
    },
  };
}
