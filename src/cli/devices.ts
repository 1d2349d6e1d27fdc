/** `postern devices …`: who sends, who was refused, who may come in. */
import { join } from "node:path";
import { controlSocketPath } from "../admin/control-socket.ts";
import type { Places } from "../config/places.ts";
import type { AllowedDevice } from "../devices/admissions.ts";
import type { Device, Verdict } from "../devices/device.ts";
import { DeviceStore } from "../devices/store.ts";
import { PosternError } from "../mail/errors.ts";
import { systemClock } from "../platform/clock.ts";
import { isUnavailable, noteNotRunning, openControlClient } from "./control-client.ts";
import { checkName } from "./known-names.ts";
import { operatorName } from "./operator.ts";
import type { GlobalOptions } from "./options.ts";
import { findPlaces } from "./settings.ts";
import {
  cell,
  formatDuration,
  formatSize,
  formatTime,
  harmless,
  paint,
  print,
  printJson,
  remark,
  renderPairs,
  renderTable,
} from "./table.ts";

/** What is known of devices. */
export interface Known {
  readonly devices: readonly Device[];
  readonly allowed: readonly AllowedDevice[];
}

/** Which devices are listed. */
export interface ListDevicesOptions {
  readonly refused?: boolean;
  readonly learned?: boolean;
  readonly client?: string;
}

/** `devices list`: the latest seen first. */
export async function listDevicesCommand(options: GlobalOptions, given: ListDevicesOptions): Promise<number> {
  const places = await findPlaces(options.config);
  const known = await readKnownDevices(places);
  await checkName(options.config, "--client", given.client, {
    place: "among the devices",
    has: (name) => [...known.devices, ...known.allowed].some(({ client }) => client === name),
  });
  const verdicts: Verdict[] = [
    ...(given.refused === true ? (["refused"] as const) : []),
    ...(given.learned === true ? (["learned"] as const) : []),
  ];
  const fits = (verdict: Verdict, client: string | undefined): boolean =>
    (verdicts.length === 0 || verdicts.includes(verdict)) && (given.client === undefined || client === given.client);
  const devices = known.devices.filter(({ verdict, client }) => fits(verdict, client));
  const seen = new Set(known.devices.map(({ address }) => address));
  const unseen = known.allowed.filter(({ address, client }) => !seen.has(address) && fits("allowed", client));
  if (options.json) printJson({ devices, allowed: known.allowed });
  else if (devices.length + unseen.length === 0)
    remark(known.devices.length + known.allowed.length === 0 ? "no device was seen" : "no device fits");
  else {
    const now = Date.now();
    print(
      ...renderTable(COLUMNS, [
        ...devices.map((device) => deviceRow(device, now)),
        ...unseen.map(({ address, client }) => [address, "", paint("green", "allowed"), client, "never seen"]),
      ]),
    );
  }
  return 0;
}

const COLUMNS = [
  { title: "ADDRESS" },
  { title: "NAME" },
  { title: "VERDICT" },
  { title: "CLIENT" },
  { title: "LAST SEEN" },
  { title: "MESSAGES", align: "right" },
  { title: "SIZE", align: "right" },
  { title: "TLS", below: 1 },
  { title: "REFUSED", align: "right", below: 1 },
  { title: "QUIRKS", below: 1 },
] as const;

/** False for one that was let in before it ever came. */
export function isSeen({ sessions, refusals }: Device): boolean {
  return sessions + refusals > 0;
}

function deviceRow(device: Device, now: number): string[] {
  return [
    device.address,
    cell(device.dnsName ?? device.names.at(-1) ?? "", 40),
    paintVerdict(device.verdict),
    device.client ?? "",
    isSeen(device) ? `${formatDuration(now - device.lastSeen)} ago` : "never seen",
    String(device.messages),
    device.bytes === 0 ? "" : formatSize(device.bytes),
    Object.keys(device.tls).join(" "),
    device.refusals === 0 ? "" : String(device.refusals),
    cell(device.quirks.map(({ kind }) => kind).join(" "), 60),
  ];
}

function paintVerdict(verdict: Verdict): string {
  return paint(verdict === "allowed" ? "green" : verdict === "learned" ? "yellow" : "red", verdict);
}

/** `devices show ADDRESS`. */
export async function showDeviceCommand(options: GlobalOptions, given: string): Promise<number> {
  const places = await findPlaces(options.config);
  const address = given.toLowerCase();
  const known = await readKnownDevices(places);
  const device = known.devices.find((other) => other.address === address);
  const allowed = known.allowed.find((other) => other.address === address);
  if (device === undefined && allowed === undefined) throw neverSeen(given);
  if (options.json) printJson({ device, allowed });
  else print(...renderDevice(address, device, allowed, places.organization.time_zone));
  return 0;
}

function neverSeen(address: string): PosternError {
  return new PosternError("E_NO_SUCH_DEVICE", `no device with the address ${JSON.stringify(address.slice(0, 60))} was seen or allowed`);
}

function renderDevice(address: string, device: Device | undefined, allowed: AllowedDevice | undefined, timeZone: string): string[] {
  const time = (ms: number): string => formatTime(ms, timeZone);
  const by =
    allowed === undefined ? [] : [["added", `${time(allowed.since)} to client ${allowed.client} by ${harmless(allowed.by)}`] as const];
  if (device === undefined) return renderPairs([["address", address], ...by, ["last seen", "never"]]);
  const list = (values: readonly string[]): string => (values.length === 0 ? "none" : harmless(values.join(", "), 1000));
  const lines = renderPairs([
    ["address", address],
    ["verdict", `${paintVerdict(device.verdict)}${device.client === undefined ? "" : ` as client ${device.client}`}`],
    ...by,
    ["first seen", isSeen(device) ? time(device.firstSeen) : "never"],
    ["last seen", isSeen(device) ? time(device.lastSeen) : "never"],
    ["called itself", list(device.names)],
    ["name in DNS", device.dnsName === undefined ? "none known" : harmless(device.dnsName)],
    ["listeners", list(device.listeners)],
    [
      "TLS",
      Object.entries(device.tls)
        .map(([version, sessions]) => `${version} (${sessions})`)
        .join(", ") || "none",
    ],
    ["tried AUTH", device.triedAuth ? `yes${device.users.length === 0 ? "" : `, as ${list(device.users)}`}` : "no"],
    ["senders", list(device.senders)],
    [
      "sent",
      `${counted(device.messages, "message")} to ${counted(device.recipients, "recipient")}, ${formatSize(device.bytes)}, in ${counted(device.sessions, "session")}`,
    ],
    ...(device.lastMessageAt === undefined ? [] : [["last message", time(device.lastMessageAt)] as const]),
    ["refused", device.refusals === 0 ? "never" : often(device.refusals)],
  ]);
  if (device.quirks.length > 0) {
    lines.push("", paint("bold", "Repaired"));
    for (const { kind, count, lastAt, example } of device.quirks)
      lines.push(`  ${kind}: ${often(count)}, last ${time(lastAt)}${example === "" ? "" : `: ${harmless(example, 200)}`}`);
  }
  if (device.lastRefusals.length > 0) {
    lines.push("", paint("bold", "Last refusals"));
    for (const { at, listener, reply, detail, remedy } of device.lastRefusals) {
      lines.push(`  ${time(at)} on ${listener}: ${harmless(reply, 1000)}${detail === undefined ? "" : ` (${harmless(detail, 200)})`}`);
      if (remedy !== undefined) lines.push(`    remedy: ${harmless(remedy, 1000)}`);
    }
  }
  return lines;
}

function counted(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function often(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}

/** `devices allow ADDRESS --client NAME`. Needs the daemon, which lets it in at once. */
export async function allowDeviceCommand(options: GlobalOptions, address: string, client: string): Promise<number> {
  const places = await findPlaces(options.config);
  const control = openControlClient(controlSocketPath(places.data_dir));
  const { allowed } = (await control.post("/api/v1/devices/allow", { address, client, by: operatorName() })) as { allowed: AllowedDevice };
  if (options.json) printJson(allowed);
  else print(`${allowed.address} may send as a device of client ${allowed.client}`);
  return 0;
}

/** `devices forget ADDRESS`. */
export async function forgetDeviceCommand(options: GlobalOptions, address: string): Promise<number> {
  const places = await findPlaces(options.config);
  const control = openControlClient(controlSocketPath(places.data_dir));
  const forgotten = (await control.post("/api/v1/devices/forget", { address, by: operatorName() })) as { address: string };
  if (options.json) printJson(forgotten);
  else print(`${forgotten.address} is forgotten; what the configuration lets in stays let in`);
  return 0;
}

/** From the running daemon, else what it last wrote. */
export async function readKnownDevices({ data_dir: dataDir }: Pick<Places, "data_dir">): Promise<Known> {
  try {
    return (await openControlClient(controlSocketPath(dataDir)).get("/api/v1/devices")) as Known;
  } catch (error) {
    if (!isUnavailable(error)) throw error;
  }
  const store = new DeviceStore(
    join(dataDir, "receive"),
    () => [],
    systemClock,
    (text) => process.stderr.write(`postern: ${text}\n`),
  );
  const { allowed, seen } = await store.read();
  noteNotRunning();
  return { allowed, devices: seen };
}
