/** `postern upstreams`: the ways out, each with what keeps it from sending, what is left of its budget, and its last error. */
import { controlSocketPath } from "../admin/control-socket.ts";
import type { UpstreamView } from "../admin/views.ts";
import { lastDayOf } from "../platform/zone.ts";
import { DOOR_COLOURS, renderWhy, stateOf } from "./door-view.ts";
import type { GlobalOptions } from "./options.ts";
import { findPlaces } from "./settings.ts";
import { askStatus, formatEndpoint, renderBudgets } from "./status.ts";
import { paint, print, printJson, renderTable } from "./table.ts";
import { terminalScreen, watchUntilInterrupted } from "./watch.ts";

export interface UpstreamsOptions {
  readonly watch?: boolean | undefined;
}

/** 0; 69 when the daemon is not running. */
export async function upstreamsCommand(options: GlobalOptions, given: UpstreamsOptions): Promise<number> {
  const screen = given.watch === true ? terminalScreen(options.json) : undefined;
  const places = await findPlaces(options.config);
  const ask = async (): Promise<readonly UpstreamView[]> => (await askStatus(controlSocketPath(places.data_dir))).upstreams;
  const look = async (): Promise<string[]> => renderUpstreams(await ask(), places.organization.time_zone, Date.now());
  if (screen !== undefined) await watchUntilInterrupted(look, screen);
  else if (options.json) printJson({ upstreams: (await ask()).map((upstream) => Object.assign({ state: stateOf(upstream) }, upstream)) });
  else print(...(await look()));
  return 0;
}

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
      const ends = credentialExpiresAt === undefined ? "" : lastDayOf(credentialExpiresAt);
      return [name, type, formatEndpoint(host, port), paint(DOOR_COLOURS[state], state), String(waiting), ends];
    }),
  );
  return [...table, ...upstreams.flatMap((upstream) => renderWhy(upstream, timeZone, now)), ...renderBudgets(upstreams)];
}
