/**
 * Odd but real messages through the whole relay (receive, queue, deliver) to a next hop that keeps every octet: unchanged, or the repair is listed.
 *
 * `CORPUS_SEED` takes another seed, `CORPUS_MIXED` more messages of mixed oddities.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { startDaemon, type Daemon } from "../../src/daemon/daemon.ts";
import type { PosternEvent } from "../../src/mail/events.ts";
import { createObserver, type Observer } from "../../src/observe/observer.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { SmtpReceiver } from "../crash/smtp-receiver.ts";
import { submitAll } from "./submit-all.ts";
import { overheardLog } from "../support/canaries/relay.ts";
import { tempDir, type TempDir } from "../support/temp-dir.ts";
import { corpus } from "./messages.ts";
import { essence, expectedOf } from "./model.ts";

const SEED = Number(process.env["CORPUS_SEED"] ?? 1);
const MIXED = Number(process.env["CORPUS_MIXED"] ?? 120);

let folder: TempDir;
let nextHop: SmtpReceiver;
let relay: Daemon;
let observer: Observer;
/** By queue id. */
const arrived = new Map<string, string>();
const repairs = new Map<string, readonly string[]>();
let wake: () => void = () => undefined;

beforeAll(async () => {
  folder = await tempDir();
  nextHop = new SmtpReceiver((content) => {
    const text = content.toString("latin1");
    arrived.set(/^X-Postern-Id: (\S+)\r$/m.exec(text)?.[1] ?? "", text);
    wake();
    return "250 2.0.0 Ok: taken";
  });
  const configFile = join(folder.path, "postern.yaml");
  await writeFile(
    configFile,
    JSON.stringify({
      hostname: "relay.contoso.com",
      data_dir: "data",
      organization: { domains: ["contoso.com"], postmaster: "it@contoso.com" },
      listeners: { printers: { listen: "127.0.0.1:0" } },
      clients: { floor: { networks: ["127.0.0.1"] } },
      upstreams: { next: { type: "smart-host", host: "127.0.0.1", port: await nextHop.listen(), tls: "none" } },
      routes: [{ name: "default", via: "next" }],
      admin: { listen: "127.0.0.1:0" },
    }),
  );
  const loaded = await loadConfig(configFile);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  observer = createObserver({ log: { level: "info", destination: overheardLog() }, clock: systemClock });
  const emit = (event: PosternEvent): void => {
    if (event.type === "message.accepted") repairs.set(event.queueId, event.repairs);
    observer.emit(event);
  };
  relay = await startDaemon(loaded.config, { observer: { ...observer, emit }, clock: systemClock });
});

afterAll(async () => {
  await relay.stop();
  observer.close();
  await nextHop.close();
  await folder.remove();
});

test("at least 200 odd messages arrive octet for octet, or with the repairs that are listed", async () => {
  const messages = corpus(SEED, MIXED);

  const ids = await submitAll(
    relay.addresses[0]?.port ?? 0,
    messages.map(({ content }) => content),
  );
  while (arrived.size < messages.length) await new Promise<void>((resolve) => (wake = resolve));
  const faults = messages.flatMap(({ name, content }, at) => {
    const fault = faultOf(content, arrived.get(ids[at] ?? "") ?? "", repairs.get(ids[at] ?? "") ?? []);
    return fault === undefined ? [] : [`${name}: ${fault}`];
  });

  expect(messages.length).toBeGreaterThanOrEqual(200);
  expect(faults).toEqual([]);
}, 120_000);

/** What is wrong with a message as it arrived; undefined: nothing. */
function faultOf(content: Buffer, got: string, listed: readonly string[]): string | undefined {
  const expected = expectedOf(content);
  if (listed.toSorted().join() !== expected.repairs.toSorted().join())
    return `repairs ${listed.join()} instead of ${expected.repairs.join()}`;
  const trace =
    /^Received: from [^\r]*(?:\r\n[ \t][^\r]*)*\r\nX-Postern-Id: [0-9A-Z]{26}\r\n(?:X-Postern-Repaired: ([^\r]*(?:\r\n [^\r]*)*)\r\n)?/;
  const top = trace.exec(got);
  if (top === null) return `top of the header: ${JSON.stringify(got.slice(0, 300))}`;
  const told = (top[1] ?? "").split(/,\s+/).filter((word) => word !== "");
  if (told.some((word) => !listed.includes(word))) return `the header tells of ${told.join()}`;
  const octetRepairs = ["bare-lf", "extra-cr", "lone-cr", "nul-replaced"];
  if (listed.some((word) => !told.includes(word) && !octetRepairs.includes(word))) return `the header tells of ${told.join()} only`;
  let rest = got.slice(top[0].length);
  for (const field of expected.added) {
    const match = field.exec(rest);
    if (match === null) return `${field} is not at ${JSON.stringify(rest.slice(0, 100))}`;
    rest = rest.slice(match[0].length);
  }
  if (!expected.longLines) return rest === expected.rest ? undefined : difference(rest, expected.rest);
  if (rest.split("\r\n").some((line) => line.length > 998)) return "a line is too long";
  return essence(rest) === essence(expected.rest) ? undefined : difference(essence(rest), essence(expected.rest));
}

function difference(got: string, expected: string): string {
  let at = 0;
  while (at < expected.length && got[at] === expected[at]) at += 1;
  const near = (text: string): string => JSON.stringify(text.slice(Math.max(0, at - 40), at + 40));
  return `at octet ${at} ${near(got)} instead of ${near(expected)}`;
}
