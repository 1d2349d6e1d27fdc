/** What the control API answers with: the daemon fills it, the CLI prints it. All times in ms since the epoch. */
import type { OpenAlert } from "../observe/alerts/alert.ts";
import type { LaneHold, QueueStatistics } from "../queue/queue.ts";
import type { VersionView } from "../platform/version.ts";

/** Whether mail can be accepted; `reasons` is empty exactly when `ok`. Never a secret or an address in it. */
export interface Readiness {
  readonly ok: boolean;
  readonly reasons: readonly string[];
}

export interface ListenerView {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** `none`, `opportunistic`, `required` or `implicit`. */
  readonly tls: string;
}

export interface UpstreamView {
  readonly name: string;
  readonly type: string;
  readonly host: string;
  readonly port: number;
  /** Recipients on its lane. */
  readonly waiting: number;
  readonly nextDueAt: number | undefined;
  /** Present while the door is closed. */
  readonly hold: LaneHold | undefined;
  /** Present while nothing goes out for a fault that passes: unreachable, throttled. `resumeAt` undefined: with the next mail that is due. */
  readonly trouble:
    | { readonly cause: string; readonly remedy: string | undefined; readonly since: number; readonly resumeAt: number | undefined }
    | undefined;
  readonly credentialExpiresAt: number | undefined;
  /** What went wrong with it last since the start, verbatim where it was a reply; mail may have gone out since. */
  readonly lastError: { readonly at: number; readonly text: string } | undefined;
  /** What is left of each limit that is kept, by the limit's name; empty where the door has none. */
  readonly budgets: readonly BudgetView[];
  /** Present after a throttling, while it uses only part of its rate. */
  readonly slowed: { readonly factor: number; readonly until: number } | undefined;
}

/** One limit of a door. */
export interface BudgetView {
  /** As the metric `budget_remaining` names it. */
  readonly limit: string;
  readonly most: number;
  readonly remaining: number;
  /** All upstreams that share it. */
  readonly doors: readonly string[];
}

/** How it goes: `GET /api/v1/status`. */
export interface StatusView {
  readonly version: VersionView;
  readonly pid: number;
  readonly startedAt: number;
  readonly ready: Readiness;
  readonly listeners: readonly ListenerView[];
  readonly queue: Omit<QueueStatistics, "lanes">;
  readonly upstreams: readonly UpstreamView[];
  /** In the order in which they are tried; of each its upstreams in theirs. */
  readonly routes: readonly { readonly name: string; readonly via: readonly string[] }[];
  /** What needs a person, the oldest first. */
  readonly alerts: readonly OpenAlert[];
  readonly residentBytes: number;
}
