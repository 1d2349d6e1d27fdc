/** The configuration that the assistant writes: as small as it can be, with a comment where somebody may want to know why. */
import { stringify } from "yaml";
import type { Answers, DoorKind } from "./answers.ts";

/** Stands where an id is to be filled in; `check` then names the line. */
export const NO_CLIENT_ID = "FILL-IN-THE-APPLICATION-ID";

/** Upstream names, which are words on command lines and metric labels. */
export const DOOR_NAMES: Readonly<Record<DoorKind, string>> = {
  mailbox: "mailbox",
  graph: "graph",
  "connector-certificate": "connector",
  "connector-address": "connector-by-address",
  "direct-send": "inside",
  "high-volume": "volume",
};

type Fields = Record<string, unknown>;

function credentialOf(answers: Answers): Fields {
  const client_id = answers.clientId ?? NO_CLIENT_ID;
  switch (answers.credential) {
    case "secret":
      return {
        type: "client-secret",
        client_id,
        secret: { file: answers.files.secret },
        ...(answers.secretExpires === undefined ? {} : { expires: answers.secretExpires }),
      };
    case "certificate":
      return { type: "client-certificate", client_id, certificate: answers.files.certificate, key: answers.files.key };
    case "device-code":
      return { type: "device-code", client_id };
    default:
      return answers.credential satisfies never;
  }
}

function upstreamOf(door: DoorKind, answers: Answers): Fields {
  const domain = answers.domains[0];
  switch (door) {
    case "mailbox":
      return { type: "smtp-auth", mailbox: answers.mailbox, credential: credentialOf(answers) };
    case "graph":
      return { type: "graph", mailbox: answers.mailbox, credential: credentialOf(answers) };
    case "connector-certificate":
      return { type: "connector", domain, certificate: answers.files.connectorCertificate, key: answers.files.connectorKey };
    case "connector-address":
      return { type: "connector", domain };
    case "direct-send":
      return { type: "direct-send", domain };
    case "high-volume":
      return {
        type: "smtp-auth",
        preset: "hve",
        mailbox: answers.volumeAccount,
        credential: { type: "password", password: { file: answers.files.volumePassword } },
      };
    default:
      return door satisfies never;
  }
}

const DOOR_COMMENTS: Readonly<Record<DoorKind, string>> = {
  mailbox: "One mailbox signs in with OAuth on port 587. Microsoft's limits (30 a minute, 10,000 recipients a day) are kept by itself.",
  graph: "The same over HTTPS; takes messages up to 2000 KiB.",
  "connector-certificate": "Port 25, known to Microsoft by this certificate. Replaced files are used at once.",
  "connector-address": "Port 25, known to Microsoft by the public address of this network.",
  "direct-send": "Port 25, as anybody could send it; to your own mailboxes only.",
  "high-volume": "High Volume Email: to your own mailboxes only.",
};

/** The largest message that some door takes; undefined for the usual 33 MiB. */
function largestOf(doors: readonly DoorKind[]): string | undefined {
  if (doors.every((door) => door === "graph")) return "2000KiB";
  return doors.every((door) => door === "graph" || door === "high-volume") ? "9500KiB" : undefined;
}

/** Doors that Microsoft lets send to your own mailboxes only. */
function isInternalOnly(door: DoorKind): boolean {
  return door === "direct-send" || door === "high-volume";
}

/** Routes for the doors: external mail never waits for a door that cannot take it. */
function routesOf(answers: Answers): Fields[] {
  const names = answers.doors.map((door) => DOOR_NAMES[door]);
  const outside = answers.doors.filter((door) => !isInternalOnly(door)).map((door) => DOOR_NAMES[door]);
  if (answers.recipients === "internal" || outside.length === 0 || outside.length === names.length)
    return [{ name: "default", via: names }];
  return [
    { name: "outside", match: { recipients: "external" }, via: outside },
    { name: "default", via: names },
  ];
}

/** YAML of a value on one line; what looks like a key to some readers (`:25`) in quotes. */
function flow(value: unknown): string {
  if (typeof value === "string" && value.startsWith(":")) return JSON.stringify(value);
  return stringify(value, { collectionStyle: "flow", lineWidth: 0, flowCollectionPadding: false }).trim();
}

/** The file as text, ending in a line feed. */
export function renderConfig(answers: Answers): string {
  const { domains, doors } = answers;
  const lines = [
    "# Written by postern setup. Every key is explained in docs/configuration.md; postern check says whether a change is right.",
    `hostname: ${flow(answers.hostname)}`,
    `data_dir: ${flow(answers.dataDir)}`,
    "",
    "organization:",
    ...(answers.tenant === undefined ? [] : [`  tenant: ${flow(answers.tenant)}`]),
    `  domains: ${flow(domains)}   # mail to these is internal`,
    `  postmaster: ${flow(answers.postmaster)}`,
    `  default_sender: ${flow(answers.defaultSender)}   # for devices without a usable address of their own`,
    ...(answers.timeZone === undefined ? [] : [`  time_zone: ${flow(answers.timeZone)}`]),
    "",
    "listeners:",
    `  printers:`,
    `    listen: ${answers.listen.length === 1 ? flow(answers.listen[0]) : JSON.stringify(answers.listen)}`,
    ...(answers.oldTls ? [`    tls: ${flow({ mode: "opportunistic", min_version: "TLSv1" })}`] : []),
    "",
    "clients:",
    "  # Only these networks may send. postern devices list shows who else tried.",
    `  devices: ${flow({
      networks: answers.networks,
      recipients: answers.recipients,
      ...(largestOf(doors) === undefined ? {} : { max_message_size: largestOf(doors) }),
    })}`,
    "",
    "upstreams:",
  ];
  for (const door of doors) {
    const name = DOOR_NAMES[door];
    const fields = { ...upstreamOf(door, answers), ...answers.overrides[name] };
    lines.push(`  # ${DOOR_COMMENTS[door]}`, `  ${name}:`);
    for (const [key, value] of Object.entries(fields)) lines.push(`    ${key}: ${flow(value)}`);
  }
  lines.push("", "# The first door that is open and fits takes the mail; the next ones step in.", "routes:");
  for (const route of routesOf(answers)) lines.push(`  - ${flow(route)}`);
  return `${lines.join("\n")}\n`;
}
