import fs from "node:fs";
const rss = () => {
  const s = fs.readFileSync("/proc/self/status", "utf8");
  const g = (k) => +s.match(new RegExp(k + ":\\s+(\\d+)"))[1];
  const m = process.memoryUsage();
  return `rss ${(g("VmRSS") / 1024).toFixed(1)} anon ${(g("RssAnon") / 1024).toFixed(1)} file ${(g("RssFile") / 1024).toFixed(1)} heap ${(m.heapTotal / 1e6).toFixed(0)}/${(m.heapUsed / 1e6).toFixed(0)}`;
};
const T = performance.now();
const p = (l) => console.log(l.padEnd(24), rss(), (performance.now() - T).toFixed(0) + "ms");
import { Worker } from "node:worker_threads";
p("base");
const w = new Worker('setInterval(()=>{},1e6);require("worker_threads").parentPort.postMessage(1)', {
  eval: true,
  ...(process.argv[2] ? { resourceLimits: { maxYoungGenerationSizeMb: +process.argv[2] } } : {}),
});
await new Promise((r) => w.once("message", r));
p("worker");
await new Promise((r) => setTimeout(r, 500));
p("later");
const w2 = new Worker(
  'const {DatabaseSync}=require("node:sqlite");const db=new DatabaseSync(":memory:");db.exec("create table t(a)");setInterval(()=>{},1e6);require("worker_threads").parentPort.postMessage(1)',
  { eval: true },
);
await new Promise((r) => w2.once("message", r));
p("worker2 sqlite");
const http = await import("node:http");
http.createServer(() => {}).listen(0);
p("http server");
const net = await import("node:net");
net.createServer(() => {}).listen(0);
p("net server");
new Intl.DateTimeFormat("en", { timeZone: "Europe/Paris", dateStyle: "full" }).format();
p("intl");
const tls = await import("node:tls");
tls.createSecureContext({});
p("tls ctx");
tls.createSecureContext({ ca: tls.rootCertificates });
p("tls root ctx");
process.exit();
