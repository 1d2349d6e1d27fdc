/** `postern auth login`: a person signs an upstream in, once, with a code in a browser. */
import { controlSocketPath } from "../admin/control-socket.ts";
import type { Config, GraphConfig, SmtpAuthConfig } from "../config/config.ts";
import { entraOptions } from "../daemon/doors.ts";
import { PosternError } from "../mail/errors.ts";
import type { PosternErrorCode } from "../mail/errors.ts";
import { systemClock } from "../platform/clock.ts";
import { signInByDeviceCode } from "../upstream/oauth/device-code.ts";
import type { CodeToShow } from "../upstream/oauth/device-code.ts";
import type { Refusal } from "../upstream/upstream.ts";
import { openControlClient } from "./control-client.ts";
import { operatorName } from "./operator.ts";
import type { GlobalOptions } from "./options.ts";
import { readConfig } from "./settings.ts";
import { formatDuration, harmless, paint, print } from "./table.ts";

/**
 * Shows where to sign in and with which code, waits until that is done, and keeps the sign-in for the daemon. With `--json` two lines: the
 * code, then the result.
 *
 * @returns 0; faults: 64 for an upstream that nobody signs in to, 75 where nobody did in time, 77 where it was declined, 78 for what Entra
 *   says of the application
 */
export async function loginCommand(options: GlobalOptions, name: string): Promise<number> {
  const config = await readConfig(options.config);
  const upstream = signedInByPerson(config, name);
  const warn = (_: string, text: string): void => void process.stderr.write(`postern: ${harmless(text)}\n`);
  const entra = await entraOptions(name, upstream, config, systemClock, warn);
  if (entra.credential.type !== "device-code") throw new PosternError("E_USAGE", `auth login: ${name} has no device code`);
  const stop = new AbortController();
  const interrupted = (): void => stop.abort();
  process.once("SIGINT", interrupted);
  let progress: Progress | undefined;
  const show = (code: CodeToShow): void => {
    if (options.json) return printLine({ upstream: name, ...code });
    print(
      `Open ${paint("bold", harmless(code.url))} in a browser and type the code ${paint("bold", harmless(code.code))}.`,
      `Sign in as ${upstream.mailbox === "from" ? "the sender" : upstream.mailbox}, or as somebody with Full Access and Send As on it.`,
    );
    progress = startProgress(code.expiresInSeconds);
  };
  let result: Awaited<ReturnType<typeof signInByDeviceCode>>;
  try {
    result = await signInByDeviceCode(entra, entra.credential, show, stop.signal);
  } finally {
    progress?.end();
    process.removeListener("SIGINT", interrupted);
  }
  if ("stage" in result) throw faultOf(result);
  const noticed = await tellDaemon(config, name);
  if (options.json) printLine({ upstream: name, account: result.account, ok: true, daemonTold: noticed });
  else {
    print(`${paint("green", "ok")}: ${name} is signed in${result.account === "" ? "" : ` as ${harmless(result.account)}`}.`);
    print(noticed ? "The running daemon tries its mail now." : "No daemon is running; it finds the sign-in when it starts.");
  }
  return 0;
}

function signedInByPerson(config: Config, name: string): SmtpAuthConfig | GraphConfig {
  const byPerson = Object.entries(config.upstreams).flatMap(([one, upstream]) =>
    "credential" in upstream && upstream.credential?.type === "device-code" ? [one] : [],
  );
  const upstream = Object.hasOwn(config.upstreams, name) ? config.upstreams[name] : undefined;
  if ((upstream?.type === "smtp-auth" || upstream?.type === "graph") && byPerson.includes(name)) return upstream;
  const known =
    byPerson.length === 0 ? "no upstream has a credential of type device-code" : `upstreams with device-code: ${byPerson.join(", ")}`;
  throw new PosternError(
    "E_USAGE",
    upstream === undefined
      ? `auth login: there is no upstream ${harmless(name, 100)}; ${known}`
      : `auth login: ${name} signs in by itself, without a person; ${known}`,
  );
}

/** Somebody who took too long may try again; one who declined will not. */
function faultOf({ fault }: Refusal): PosternError {
  const { code, detail } = fault ?? { code: "TOKEN", detail: "no token" };
  const outcome: PosternErrorCode =
    code === "expired_token" || code === "ABORTED" || code === "TIMEOUT"
      ? "E_TEMPORARY"
      : code === "authorization_declined" || code === "access_denied"
        ? "E_POLICY"
        : code.startsWith("AADSTS") || code.startsWith("invalid_") || code === "unauthorized_client"
          ? "E_CONFIG"
          : "E_UNAVAILABLE";
  return new PosternError(outcome, detail.includes(code) ? detail : `${code}: ${detail}`);
}

/** Lets the daemon try the door at once, instead of with its next probe. It reads the sign-in by itself. */
async function tellDaemon(config: Config, name: string): Promise<boolean> {
  try {
    const client = openControlClient(controlSocketPath(config.data_dir));
    // Deferred mail only: what an operator holds is not ours to let go. The door itself is tried in any case.
    await client.post("/api/v1/queue/retry", { filter: { lane: name, states: ["deferred"] }, by: operatorName() });
    return true;
  } catch {
    return false;
  }
}

function printLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

interface Progress {
  readonly end: () => void;
}

/** How long the code is still good, on a terminal. */
function startProgress(seconds: number): Progress {
  if (!process.stderr.isTTY) return { end: () => {} };
  const endsAt = Date.now() + seconds * 1000;
  const draw = (): void => {
    process.stderr.write(`\r\u001b[KWaiting; the code is good for ${formatDuration(Math.max(0, endsAt - Date.now()))} `);
  };
  draw();
  const timer = setInterval(draw, 1000);
  return {
    end: () => {
      clearInterval(timer);
      process.stderr.write("\r\u001b[K");
    },
  };
}
