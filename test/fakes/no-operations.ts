/** What only a whole relay can do, refused. */
import { EventFeed } from "../../src/admin/event-feed.ts";
import type { AdminOptions } from "../../src/admin/admin.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { PosternError } from "../../src/mail/errors.ts";

export const NO_OPERATIONS: Pick<
  AdminOptions,
  "tests" | "doctor" | "alerts" | "reloads" | "transcripts" | "tokens" | "events" | "subjectsShown" | "clock"
> = {
  clock: systemClock,
  events: new EventFeed(systemClock),
  subjectsShown: () => false,
  tokens: {
    authenticate: () => Promise.resolve({ ok: false, reason: "unknown" }),
    list: () => Promise.resolve([]),
    add: () => Promise.reject(new PosternError("E_UNAVAILABLE", "no tokens here")),
    revoke: () => Promise.resolve(false),
  },
  transcripts: { read: () => Promise.resolve([]) },
  alerts: { list: () => [], test: () => Promise.resolve([]) },
  tests: { send: () => Promise.reject(new PosternError("E_USAGE", "no test mail here")) },
  doctor: {
    async *examine() {
      yield { doing: "nothing" };
    },
  },
  reloads: { reload: () => Promise.reject(new PosternError("E_UNAVAILABLE", "no file here")) },
};
