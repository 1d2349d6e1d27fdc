/** `postern upstreams`: the ways out, each with what keeps it from sending, what is left of its budget, and its last error. */
import { controlSocketPath } from "../admin/control-socket.ts";
import type { UpstreamView } from "../admin/views.ts";
import { formatReply } from "../mail/reply.ts";
import type { GlobalOptions } from "./options.ts";
import { findPlaces } from "./settings.ts";
import { askStatus, formatEndpoint, renderBudgets } from "./status.ts";
import { formatDuration, formatTime, harmless, paint, print, printJson, renderTable } from "./table.ts";
import { pause, terminalScreen, watch } from "./watch.ts";

export interface UpstreamsOptions {
  readonly watch?: boolean | undefined;
}

/** 0; 69 when the daemon is not running. */
export async function upstreamsCommand(options: GlobalOptions, given: UpstreamsOptions): Promise<number> {
  const screen = given.watch === true ? terminalScreen(options.json) : undefined;
  const places = await findPlaces(options.config);
  const ask = async (): Promise<readonly UpstreamView[]> => (await askStatus(controlSocketPath(places.data_dir))).upstreams;
  const look = async (): Promise<string[]> => renderUpstreams(await ask(), places.organization.time_zone, Date.now());
  if (screen !== undefined) await watch(look, screen, pause);
  else if (options.json) printJson({ upstreams: (await ask()).map((upstream) => Object.assign({ state: stateOf(upstream) }, upstream)) });
  else print(...(await look()));
  return 0;
}

/** `up`: mail goes out. `slowed`: at part of its rate, after a throttling. `paused`: a fault that passes. `held`: a fault that needs hands. */
export type DoorWord = "up" | "slowed" | "paused" | "held";

export function stateOf({ hold, trouble, slowed }: UpstreamView): DoorWord {
  if (hold !== undefined) return "held";
  if (trouble !== undefined) return "paused";
  return slowed === undefined ? "up" : "slowed";
}

const COLOURS = { up: "green", slowed: "yellow", paused: "yellow", held: "red" } as const;

export function renderUpstreams(upstreams: readonly UpstreamView[], timeZone: string, now: number): string[] {
  const table = renderTable(
    [
      { title: "UPSTREAM" },
      { title: "TYPE" },
      { title: "HOST" },
      { title: "STATE" },
      { title: "WAITING", align: "right" },
      { title: "CREDENTIAL ENDS" },
    ],
    upstreams.map((upstream) => {
      const { name, type, host, port, waiting, credentialExpiresAt } = upstream;
      const state = stateOf(upstream);
      const ends = credentialExpiresAt === undefined ? "" : formatTime(credentialExpiresAt - 1, timeZone).slice(0, 10);
      return [name, type, formatEndpoint(host, port), paint(COLOURS[state], state), String(waiting), ends];
    }),
  );
  return [...table, ...upstreams.flatMap((upstream) => renderWhy(upstream, timeZone, now)), ...renderBudgets(upstreams)];
}

/** Why one is not up, what to do about it, and what went wrong last. */
function renderWhy(upstream: UpstreamView, timeZone: string, now: number): string[] {
  const { name, hold, trouble, slowed, lastError } = upstream;
  const lines: string[] = [];
  if (hold !== undefined) {
    lines.push(
      `held for ${formatDuration(now - hold.since)}: ${harmless(hold.cause)}; tried again ${formatTime(hold.nextProbeAt, timeZone)}`,
    );
    if (hold.reply !== undefined) lines.push(`reply: ${harmless(formatReply(hold.reply))}`);
    if (hold.remedy !== undefined) lines.push(`remedy: ${harmless(hold.remedy, 1000)}`);
  } else if (trouble !== undefined) {
    const again = trouble.resumeAt === undefined ? "being tried now" : `tried again ${formatTime(trouble.resumeAt, timeZone)}`;
    lines.push(`paused: ${harmless(trouble.cause)}; ${again}`);
  } else if (slowed !== undefined) {
    lines.push(`throttled: 1/${Math.round(1 / slowed.factor)} of its rate, more by and by until ${formatTime(slowed.until, timeZone)}`);
  }
  if (lastError !== undefined) lines.push(`last error ${formatTime(lastError.at, timeZone)}: ${harmless(lastError.text)}`);
  return lines.length === 0 ? [] : ["", paint("bold", name), ...lines.map((line) => `  ${line}`)];
}
