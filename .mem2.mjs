import fs from "node:fs";
const rss = () => {
  const s = fs.readFileSync("/proc/self/status", "utf8");
  const g = (k) => +s.match(new RegExp(k + ":\\s+(\\d+)"))[1];
  const m = process.memoryUsage();
  return `rss ${(g("VmRSS") / 1024).toFixed(1)} anon ${(g("RssAnon") / 1024).toFixed(1)} file ${(g("RssFile") / 1024).toFixed(1)} heap ${(m.heapTotal / 1e6).toFixed(0)}/${(m.heapUsed / 1e6).toFixed(0)}`;
};
const T = performance.now();
const p = (l) => console.log(l.padEnd(24), rss(), (performance.now() - T).toFixed(0) + "ms");
p("base");
const { readConfigApart } = await import("/work/main/dist/config/apart.js");
const read = await readConfigApart("/tmp/r1/p.yaml");
p("config apart");
const { createObserver } = await import("/work/main/dist/observe/observer.js");
p("observer");
const o = createObserver({
  log: { level: "info", destination: "/dev/null" },
  clock: (await import("/work/main/dist/platform/clock.js")).systemClock,
});
p("observer made");
const { openQueue } = await import("/work/main/dist/queue/open.js");
p("queue imported");
const clock = (await import("/work/main/dist/platform/clock.js")).systemClock;
fs.rmSync("/tmp/r1/q", { recursive: true, force: true });
const q = await openQueue({ directory: "/tmp/r1/q", route: () => "next", emit: o.emit, clock, floorBytes: 1e6, historyKeepMs: 1e9 });
p("queue open");
await import("/work/main/dist/receive/receiver.js");
p("receive");
await import("/work/main/dist/upstream/smart-host.js");
p("smart-host");
await import("/work/main/dist/upstream/smtp-auth.js");
p("smtp-auth");
await import("/work/main/dist/deliver/scheduler.js");
p("deliver");
await import("/work/main/dist/admin/admin.js");
p("admin");
const { startDaemon } = await import("/work/main/dist/daemon/daemon.js");
p("daemon imp");
await q.close();
p("queue closed");
const d = await startDaemon(read.config, { observer: o, clock });
p("daemon started");
await fetch("http://127.0.0.1:2602/readyz").then((r) => r.text());
p("fetch readyz (client too)");
await new Promise((r) => setTimeout(r, 3000));
p("3 s later");
await d.stop();
process.exit();
