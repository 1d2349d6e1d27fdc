/** `postern explain`: what would become of a message, without sending it. */
import { isIP } from "node:net";
import { controlSocketPath } from "../admin/control-socket.ts";
import type { StatusView, UpstreamView } from "../admin/views.ts";
import type { Config } from "../config/config.ts";
import { readSize } from "../config/values.ts";
import { admittingClients, hostLookUp } from "../daemon/device-book.ts";
import { buildUpstreams } from "../daemon/doors.ts";
import { explain, type ExplainedRecipient, type Explanation, type ExplainRequest } from "../daemon/explain.ts";
import { Admissions, type Admission } from "../devices/admissions.ts";
import { HostBook } from "../devices/host-book.ts";
import { DoorBoard } from "../deliver/door-board.ts";
import { PosternError, POSTERN_ERRORS } from "../mail/errors.ts";
import { systemClock } from "../platform/clock.ts";
import { isUnavailable, openControlClient } from "./control-client.ts";
import { readKnownDevices } from "./devices.ts";
import { LIMIT_WORDS } from "./door-view.ts";
import type { GlobalOptions } from "./options.ts";
import { readConfig } from "./settings.ts";
import { formatSize, harmless, paint, print, printJson, renderPairs, renderTable } from "./table.ts";

/** As the command line gives them. */
export interface ExplainOptions {
  readonly ip: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly size?: string;
  readonly listener?: string;
  readonly user?: string;
}

/** 0 when sender and all recipients would be accepted, 77 when something is refused. */
export async function explainCommand(options: GlobalOptions, given: ExplainOptions): Promise<number> {
  const request = readRequest(given);
  const config = await readConfig(options.config);
  if (request.listener !== undefined && !Object.hasOwn(config.listeners, request.listener))
    throw new PosternError(
      "E_USAGE",
      `--listener: ${JSON.stringify(request.listener)} is not one of ${Object.keys(config.listeners).join(", ")}`,
    );
  const doors = await askDoors(config);
  const upstreams = await buildUpstreams(
    config,
    () => undefined,
    systemClock,
    (upstream, text) => process.stderr.write(`postern: upstream ${upstream}: ${text}\n`),
  );
  const admission = admissionsOf(config);
  try {
    const board = doors === undefined ? undefined : boardOf(doors);
    const explanation = await explain(request, { config, upstreams, board, admit: admission.admit });
    if (options.json) printJson({ ...explanation, upstreams: doors ?? null });
    else print(...render(explanation, doors, { user: request.user, auth: config.listeners[explanation.listener]?.auth ?? "none" }));
    return explanation.accepted ? 0 : POSTERN_ERRORS.E_POLICY.exitCode;
  } finally {
    admission.stop();
    await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
  }
}

function readRequest(given: ExplainOptions): ExplainRequest {
  const { ip, listener, user } = given;
  if (isIP(ip) === 0) throw new PosternError("E_USAGE", `--ip: ${JSON.stringify(ip)} is not an IP address`);
  const size = given.size === undefined ? undefined : sizeOf(given.size);
  return {
    ip,
    from: addressOf("--from", given.from, true),
    to: given.to.map((to) => addressOf("--to", to, false)),
    sizeBytes: size,
    listener,
    user,
  };
}

function sizeOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const read = readSize(text);
  if ("value" in read) return read.value;
  throw new PosternError("E_USAGE", `--size: ${JSON.stringify(text)} is not a size such as 35MiB, or a number of octets`);
}

/** With or without its angle brackets. */
function addressOf(option: string, text: string, mayBeNull: boolean): string {
  const address = /^<(.*)>$/.exec(text.trim())?.[1] ?? text.trim();
  if ((address === "" && mayBeNull) || /^[^\s<>]+$/.test(address)) return address;
  throw new PosternError("E_USAGE", `${option}: ${JSON.stringify(text)} is not an address${mayBeNull ? ' (write "<>" for none)' : ""}`);
}

/** How the doors are now; undefined where no daemon runs. */
async function askDoors(config: Config): Promise<readonly UpstreamView[] | undefined> {
  try {
    return ((await openControlClient(controlSocketPath(config.data_dir)).get("/api/v1/status")) as StatusView).upstreams;
  } catch (error) {
    if (isUnavailable(error)) return undefined;
    throw error;
  }
}

function boardOf(doors: readonly UpstreamView[]): DoorBoard {
  const board = new DoorBoard();
  for (const { name, hold, trouble, budgets } of doors) {
    const of = (limits: readonly string[]): number =>
      Math.min(Infinity, ...budgets.filter(({ limit }) => limits.includes(limit)).map(({ remaining }) => remaining));
    const left = of(["recipients_per_day", "external_recipients_per_day"]);
    board.register(name, {
      isClosed: hold !== undefined || trouble !== undefined,
      startable: left === 0 ? 0 : of(["messages_per_minute", "messages_per_hour", "requests_per_10_minutes"]),
      left,
    });
  }
  return board;
}

/** Whom the daemon lets in besides the networks: asked only for an address that none of them names. */
function admissionsOf(config: Config): { admit: (address: string, listener: string) => Promise<Admission | undefined>; stop: () => void } {
  const clients = admittingClients(config);
  const hosts = new HostBook(
    hostLookUp(() => config.network.dns.servers),
    systemClock,
  );
  let asked: Promise<Admissions> | undefined;
  const ask = async (): Promise<Admissions> => {
    hosts.update(clients.flatMap((client) => client.hosts));
    await hosts.refresh();
    const admissions = new Admissions(clients, hosts, () => systemClock.now());
    for (const device of (await readKnownDevices(config)).allowed) admissions.allow(device);
    return admissions;
  };
  return { admit: async (address, listener) => (await (asked ??= ask())).find(address, listener), stop: () => hosts.stop() };
}

const ADMITTED: Readonly<Record<NonNullable<Explanation["admittedBy"]>, string>> = {
  network: "by its network",
  allowed: "allowed by an operator",
  learned: "while the client learns",
  named: "by its name",
  user: "as the user signs in",
};

/** What the listener makes of the user that was asked about. */
interface Asked {
  readonly user: string | undefined;
  readonly auth: "none" | "offered" | "required";
}

function render(explanation: Explanation, doors: readonly UpstreamView[] | undefined, asked: Asked): string[] {
  const { address, listener, client, admittedBy, sender, recipients, sizeRefusal, sizeLimitBytes } = explanation;
  if (client === undefined)
    return renderPairs([
      ["device", address],
      ["listener", listener],
      ["greeting", refusedText(explanation.refusal)],
      // Nobody's device, rather than one that has to sign in first.
      ...(explanation.refusal?.startsWith("554 ") === true
        ? [["remedy", `postern devices allow ${address} --client NAME, or put its network into clients.NAME.networks`] as const]
        : explanation.refusal?.startsWith("530 ") === true
          ? [["remedy", "this listener wants a sign-in: name the user with --user"] as const]
          : []),
    ]);
  const name = (text: string | undefined): string => (text === "" ? "<>" : harmless(text ?? ""));
  const becomes = sender.replaces === undefined ? "" : `, in place of ${name(sender.replaces === "" ? "none" : sender.replaces)}`;
  const lines = renderPairs([
    ["device", address],
    ["listener", listener],
    ["client", `${client}, ${admittedBy === undefined ? "" : ADMITTED[admittedBy]}`],
    ...userLine(explanation, asked),
    [
      "sender",
      sender.refusal === undefined ? `${paint("green", "accepted")} as ${name(sender.sender)}${becomes}` : refusedText(sender.refusal),
    ],
    ...remedyFor(sender.refusal, client, "senders").map((remedy) => ["remedy", remedy] as const),
    ...(sizeRefusal === undefined ? [] : [["size", refusedText(sizeRefusal)] as const]),
    ...(sizeLimitBytes === undefined || sizeRefusal !== undefined ? [] : [["size", `up to ${formatSize(sizeLimitBytes)}`] as const]),
  ]);
  for (const recipient of recipients) {
    lines.push("", ...renderRecipient(recipient, doors));
    lines.push(...remedyFor(recipient.refusal, client, "recipients").map((remedy) => `  remedy: ${remedy}`));
  }
  if (doors === undefined) lines.push("", "No daemon is running: the upstreams are taken for up.");
  return lines;
}

/** What lets through what a client's rule refuses; nothing for other refusals. */
function remedyFor(refusal: string | undefined, client: string, rule: "senders" | "recipients"): string[] {
  return refusal?.startsWith("550 5.7.1 ") === true
    ? [`add it to clients.${client}.${rule}, then postern reload; or correct it in the device`]
    : [];
}

function userLine({ listener, user }: Explanation, asked: Asked): (readonly [string, string])[] {
  if (user !== undefined) return [["user", harmless(user)]];
  if (asked.user === undefined) return [];
  const why = asked.auth === "none" ? `listener ${listener} takes no sign-in` : "may not sign in from this address";
  return [["user", `${harmless(asked.user)} ${paint("yellow", "counts for nothing here")}: ${why}`]];
}

function refusedText(reply: string | undefined): string {
  return paint("red", `refused: ${harmless(reply ?? "", 500)}`);
}

function renderRecipient(recipient: ExplainedRecipient, doors: readonly UpstreamView[] | undefined): string[] {
  const { given, route, refusal } = recipient;
  const verdict = refusal === undefined ? paint("green", "accepted") : refusedText(refusal);
  const head = `${harmless(recipient.recipient ?? given)}: ${verdict}${route === undefined ? "" : `, route ${route}`}`;
  if (recipient.doors.length === 0) return [head];
  return [
    head,
    ...renderTable(
      [{ title: "" }, { title: "UPSTREAM" }, { title: "TYPE" }, { title: "FITS" }, { title: "SENDER" }, { title: "STATE" }],
      recipient.doors.map(({ name, type, misfit, chosen, sendsAs }) => [
        chosen ? "->" : "",
        name,
        type,
        misfit === undefined ? "yes" : `no: ${MISFITS[misfit]}`,
        sendsAs === "" ? "<>" : harmless(sendsAs),
        stateOf(doors?.find((door) => door.name === name)),
      ]),
    ),
  ];
}

const MISFITS = {
  "external-recipient": "it takes internal recipients only",
  size: "the message is too large for it",
  "null-sender": "without a sender it takes internal recipients only",
} as const;

function stateOf(door: UpstreamView | undefined): string {
  if (door === undefined) return "";
  if (door.hold !== undefined) return paint("red", `held: ${harmless(door.hold.cause, 200)}`);
  if (door.trouble !== undefined) return paint("yellow", `paused: ${harmless(door.trouble.cause, 200)}`);
  const spent = door.budgets.find(({ remaining }) => remaining <= 0);
  if (spent !== undefined) return paint("yellow", `up, ${LIMIT_WORDS[spent.limit] ?? spent.limit} used up`);
  const budgets = door.budgets.map(({ limit, remaining, most }) => `${remaining} of ${most} ${LIMIT_WORDS[limit] ?? limit}`);
  return [paint("green", "up"), ...budgets].join(", ");
}
