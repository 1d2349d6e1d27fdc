/**
 * A Postfix of our own: Debian's programs with configuration, queue and data in a temporary folder, loopback only, relaying
 * everything to one next hop. The system's own instance, if any, is not touched.
 */
import { chown, mkdir, readFile, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { userInfo } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import { freePort } from "../test/support/ports.ts";
import { runProcess } from "../test/support/process.ts";
import { findTool } from "../test/support/tools.ts";
import { processTree } from "./accounting.ts";

/**
 * Every setting that is not Debian's default, and why. Concurrency, process limits and queue parameters stay at their defaults.
 *
 * - isolated: the folders, the addresses, no DNS (the next hop is an address, so nothing is looked up either way);
 * - `maillog_file`: a log file of its own instead of the system's syslog, as Postern writes one too;
 * - `in_flow_delay = 0`: Postfix slows its clients down when mail comes faster than it leaves. Off, in Postfix's favour;
 * - `message_size_limit`: room for the largest message of the benches.
 */
function mainCf(folder: string, nextHopPort: number): string {
  return `compatibility_level = 3.6
queue_directory = ${folder}/queue
data_directory = ${folder}/data
maillog_file = ${folder}/mail.log
maillog_file_prefixes = ${folder}
multi_instance_enable = yes
multi_instance_name = postfix-bench
myhostname = relay.plant.example
myorigin = plant.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtp_dns_support_level = disabled
relayhost = [127.0.0.1]:${nextHopPort}
in_flow_delay = 0
message_size_limit = 52428800
`;
}

export class OwnPostfix {
  readonly port: number;
  /** Process id of the master, the root of all its processes. */
  readonly pid: number;

  private constructor(port: number, pid: number) {
    this.port = port;
    this.pid = pid;
  }

  /** Why there can be no Postfix here; undefined when there can. */
  static obstacle(): string | undefined {
    if (findTool("postfix") === undefined) {
      return "Postfix is not installed, so there is nothing to compare with (Debian: apt-get install --no-install-recommends postfix)";
    }
    if (userInfo().uid !== 0) return "Postfix can only be started by root: run this bench as root, or in a container";
    return undefined;
  }

  /**
   * @param folder - an existing folder whose parents everybody may enter
   * @throws Error with Postfix's own words when it does not start
   */
  static async start(folder: string, nextHopPort: number): Promise<OwnPostfix> {
    const port = await freePort();
    for (const name of ["config", "queue", "data"]) await mkdir(join(folder, name), { mode: 0o755 });
    const [uid, gid] = await postfixUser();
    await chown(join(folder, "data"), uid, gid);
    await writeFile(join(folder, "config/main.cf"), mainCf(folder, nextHopPort));
    await writeFile(join(folder, "config/master.cf"), masterCf(await readFile("/etc/postfix/master.cf.proto", "utf8"), port));
    const started = await runProcess(findTool("postfix") ?? "postfix", ["-c", join(folder, "config"), "start"]);
    if (started.code !== 0) throw new Error(`Postfix did not start: ${started.stderr.trim() || logTail(folder)}`);
    const pid = Number((await readFile(join(folder, "queue/pid/master.pid"), "utf8")).trim());
    return new OwnPostfix(port, pid);
  }

  /** Ends the master and all its processes, by their ids. */
  async stop(): Promise<void> {
    const all = processTree(this.pid);
    signal(this.pid, "SIGTERM");
    for (let waited = 0; waited < 5000 && all.some(isAlive); waited += 20) await wait(20);
    for (const pid of all) signal(pid, "SIGKILL");
  }
}

/** Debian's own services without the chroot (a folder made for the occasion has no copy of /etc), with smtpd on our port. */
function masterCf(proto: string, port: number): string {
  const services = proto.split("\n").flatMap((line) => {
    if (line.startsWith("#") || line.trim() === "") return [];
    if (/^\s/.test(line)) return [line];
    const fields = line.split(/\s+/);
    if (fields[7] === "pipe") return [];
    if (fields[0] === "smtp" && fields[1] === "inet") fields[0] = `127.0.0.1:${port}`;
    fields[4] = "n";
    return [fields.join(" ")];
  });
  // Options of the pipe services that were left out.
  return `${services.filter((line) => !/^\s+(flags|user|argv)=/.test(line)).join("\n")}\n`;
}

async function postfixUser(): Promise<[number, number]> {
  const row = (await readFile("/etc/passwd", "utf8"))
    .split("\n")
    .find((line) => line.startsWith("postfix:"))
    ?.split(":");
  if (row === undefined) throw new Error("there is no user `postfix`: is Postfix installed whole?");
  return [Number(row[2]), Number(row[3])];
}

function logTail(folder: string): string {
  try {
    return readFileSync(join(folder, "mail.log"), "utf8").split("\n").slice(-5).join(" / ");
  } catch {
    return "it wrote no log";
  }
}

function isAlive(pid: number): boolean {
  return signal(pid, 0);
}

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
