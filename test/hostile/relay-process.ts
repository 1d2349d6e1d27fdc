/**
 * A listener in a process of its own, so that its memory, its event loop and its life can be looked at. Started by `hostile-relay.ts`.
 *
 * Beside the plain listener one takes PROXY headers from 127.0.5.0/24, one speaks TLS from the first octet on, and one takes nothing before a user signed in.
 * Client floor (127.0.0.1, 127.0.1.0/24) may write inside, app (127.0.0.9, 127.0.9.0/24) anywhere; all others are unlisted.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { systemClock } from "../../src/platform/clock.ts";
import { releaseMemory } from "../../src/platform/memory.ts";
import { createReceiver } from "../../src/receive/receiver.ts";
import type { ClientOptions } from "../../src/receive/receiver.ts";
import { MemorySink } from "../fakes/memory-sink.ts";
import { makeTestAuthority } from "../fakes/test-ca.ts";
import { USER } from "../fuzz/cases.ts";
import type { FromRelay, ToRelay } from "./hostile-relay.ts";

const say = (message: FromRelay): void => void process.send?.(message);
process.on("uncaughtException", (error) => {
  say({ kind: "fault", text: error.stack ?? String(error) });
});
process.on("unhandledRejection", (reason) => {
  say({ kind: "fault", text: `rejection: ${reason instanceof Error ? reason.stack : String(reason)}` });
});

const sink = new MemorySink({ keep: false });
const client: ClientOptions = {
  name: "floor",
  networks: ["127.0.0.1", "127.0.1.0/24"],
  senders: ["internal"],
  recipients: ["internal"],
  fallbackSender: "scans@contoso.com",
  maxMessageSizeBytes: 200 * 1024 * 1024,
  priority: "normal",
};
const endpoints = [{ host: "127.0.0.1", port: 0 }];
const pair = makeTestAuthority("An authority").issue(["relay.contoso.com"]);
const receiver = createReceiver({
  hostname: "relay.contoso.com",
  domains: { own: ["contoso.com"], first: "contoso.com" },
  listeners: [
    { name: "printers", endpoints, tls: { mode: "none" } },
    { name: "balanced", endpoints, tls: { mode: "none" }, proxyProtocol: ["127.0.5.0/24"] },
    { name: "secured", endpoints, tls: { mode: "implicit", certificate: { certPem: pair.cert, keyPem: pair.key } } },
    { name: "submission", endpoints, tls: { mode: "none" }, auth: "required", authWithoutTls: true },
  ],
  clients: [
    client,
    { ...client, name: "app", networks: ["127.0.0.9", "127.0.9.0/24"], senders: ["any"], recipients: ["any"] },
    {
      ...client,
      name: "users",
      networks: [],
      users: [USER.name],
      anyAddress: true,
      senders: ["any"],
      recipients: ["any"],
      listeners: ["submission"],
    },
  ],
  authenticator: {
    isUser: (name) => name === USER.name,
    remembers: () => false,
    check: (name, password) => Promise.resolve(name === USER.name && password === USER.password),
  },
  // A wrong password costs no fuzzed client time.
  limits: { authDelayMs: 0 },
  sink,
  clock: systemClock,
  emit: (event) => {
    if (event.type !== "message.accepted") return;
    const { queueId, origin, reversePath, recipients, sizeBytes } = event;
    say({ kind: "accepted", queueId, device: origin.device, reversePath, recipients, sizeBytes });
  },
});
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
process.on("message", (message: ToRelay) => {
  if (message === "stop") {
    void receiver.stop(0).then(() => process.disconnect());
    return;
  }
  // Twice: what the first round finalizes, the second frees.
  if (message === "collect") for (let round = 0; round < 2; round += 1) releaseMemory();
  say({ kind: "figures", rssBytes: process.memoryUsage.rss(), longestStallMs: delay.max / 1e6, sessions: receiver.sessionCount() });
  delay.reset();
});
await receiver.start();
const [port = 0, balanced = 0, secured = 0, submission = 0] = receiver.addresses().map((address) => address.port);
say({ kind: "ready", port, ways: { balanced, secured, submission } });
