/**
 * Who may import whom: the one table. scripts/check-imports.ts enforces it, ARCHITECTURE.md prints it.
 *
 * Key: a folder of src. Value: the other folders it may import from, whole ("mail") or one interface file ("queue/queue.ts"). Its own folder is always
 * allowed, as are Node's own modules and packages. "*" is everything but `cli`, which only main.ts enters.
 */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  mail: [],
  platform: [],
  mime: ["mail"],
  receive: ["mail", "platform", "mime", "queue/queue.ts"],
  queue: ["mail", "platform"],
  deliver: ["mail", "platform", "mime", "dsn", "queue/queue.ts", "upstream/upstream.ts"],
  upstream: ["mail", "platform", "mime"],
  dsn: ["mail", "mime"],
  access: ["mail", "platform"],
  config: ["mail", "platform", "access/token-file.ts"],
  observe: ["mail", "platform"],
  devices: ["mail", "platform"],
  admin: [
    "mail",
    "platform",
    "queue/queue.ts",
    "observe/alerts/alert.ts",
    "observe/events.ts",
    "devices/device.ts",
    "devices/admissions.ts",
    "doctor/finding.ts",
    "access",
  ],
  doctor: ["mail", "platform", "config", "deliver/judge.ts", "upstream/upstream.ts"],
  simulator: ["platform"],
  daemon: ["*"],
  cli: ["*"],
  "main.ts": ["cli", "platform"],
};
