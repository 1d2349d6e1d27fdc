/** `postern token …`: who may use the API over the network. By the running relay, or in its file where none runs: tokens come before the first start. */
import { controlSocketPath } from "../admin/control-socket.ts";
import { tokenFilePath } from "../access/token-file.ts";
import { ROLES, type Role, type TokenView } from "../access/token.ts";
import { Tokens } from "../access/tokens.ts";
import type { Places } from "../config/places.ts";
import { readDuration } from "../config/values.ts";
import { PosternError } from "../mail/errors.ts";
import { systemClock } from "../platform/clock.ts";
import { isUnavailable, openControlClient, type ControlClient } from "./control-client.ts";
import { operatorName } from "./operator.ts";
import type { GlobalOptions } from "./options.ts";
import { findPlaces } from "./settings.ts";
import { cell, formatTime, harmless, print, printJson, remark, renderTable } from "./table.ts";

/** `token add NAME --role ROLE`. Prints the token, for this once. */
export async function addTokenCommand(
  options: GlobalOptions,
  name: string,
  given: { readonly role: string; readonly expires?: string },
): Promise<number> {
  const role = readRole(given.role);
  const expiresAt = given.expires === undefined ? undefined : systemClock.now() + readSpan(given.expires);
  const places = await findPlaces(options.config);
  const by = operatorName();
  const { token, view } = await withoutDaemon(
    places,
    async (client) => (await client.post("/api/v1/tokens/add", { name, role, expiresAt, by })) as Added,
    async (tokens) => await tokens.add({ name, role, expiresAt, by }),
  );
  if (options.json) {
    printJson({ token, ...view });
    return 0;
  }
  // The token alone on standard output, so that it can go into a file or a program.
  print(token);
  const until = view.expiresAt === undefined ? "does not expire" : `expires ${formatTime(view.expiresAt, places.organization.time_zone)}`;
  process.stderr.write(`token ${view.name}, role ${view.role}, ${until}. It is not shown again: only its hash is kept.\n`);
  return 0;
}

/** `token list`. */
export async function listTokensCommand(options: GlobalOptions): Promise<number> {
  const places = await findPlaces(options.config);
  const tokens = await withoutDaemon(
    places,
    async (client) => ((await client.get("/api/v1/tokens")) as { tokens: readonly TokenView[] }).tokens,
    async (file) => await file.list(),
  );
  if (options.json) printJson({ tokens });
  else if (tokens.length === 0) remark("there is no token");
  else
    print(
      ...renderTable(
        COLUMNS,
        tokens.map((token) => row(token, places.organization.time_zone)),
      ),
    );
  return 0;
}

/** `token revoke NAME`. */
export async function revokeTokenCommand(options: GlobalOptions, name: string): Promise<number> {
  const places = await findPlaces(options.config);
  const by = operatorName();
  await withoutDaemon(
    places,
    async (client) => void (await client.post("/api/v1/tokens/revoke", { name, by })),
    async (tokens) => {
      if (!(await tokens.revoke(name, by))) throw new PosternError("E_USAGE", `there is no token ${harmless(name, 63)}`);
    },
  );
  if (options.json) printJson({ name });
  else print(`token ${name} is revoked: it opens nothing any more`);
  return 0;
}

interface Added {
  readonly token: string;
  readonly view: TokenView;
}

const COLUMNS = [
  { title: "NAME" },
  { title: "ROLE" },
  { title: "ADDED" },
  { title: "BY" },
  { title: "EXPIRES" },
  { title: "LAST USED" },
] as const;

function row({ name, role, createdAt, createdBy, expiresAt, lastUsedAt }: TokenView, timeZone: string): string[] {
  const time = (ms: number): string => formatTime(ms, timeZone).slice(0, 16);
  const ended = expiresAt !== undefined && expiresAt <= systemClock.now();
  return [
    name,
    role,
    time(createdAt),
    cell(createdBy, 40),
    expiresAt === undefined ? "never" : `${time(expiresAt)}${ended ? " (over)" : ""}`,
    lastUsedAt === undefined ? "never" : time(lastUsedAt),
  ];
}

async function withoutDaemon<T>(
  places: Places,
  ask: (client: ControlClient) => Promise<T>,
  file: (tokens: Tokens) => Promise<T>,
): Promise<T> {
  try {
    return await ask(openControlClient(controlSocketPath(places.data_dir)));
  } catch (error) {
    // Of the two, only that nobody is there: a daemon that says no has said so.
    if (!isUnavailable(error)) throw error;
  }
  return await file(new Tokens({ path: tokenFilePath(places.data_dir), clock: systemClock }));
}

function readRole(text: string): Role {
  const role = ROLES.find((name) => name === text);
  if (role === undefined)
    throw new PosternError("E_USAGE", `--role: expected one of ${ROLES.join(", ")}, not ${JSON.stringify(text.slice(0, 40))}`);
  return role;
}

const LONGEST_MS = 10 * 366 * 86_400_000;

function readSpan(text: string): number {
  const span = readDuration(text);
  if ("expected" in span || span.value <= 0 || span.value > LONGEST_MS)
    throw new PosternError("E_USAGE", `--expires: expected a span such as 12h or 90d, not ${JSON.stringify(text.slice(0, 40))}`);
  return span.value;
}
