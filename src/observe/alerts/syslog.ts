/**
 * Tells a syslog server of alerts (RFC 5424): by UDP (RFC 5426), TCP (RFC 6587, octet counting), TLS (RFC 5425), or through the socket of this
 * machine. A connection lasts for one notice: when the server has closed its side it has read all of it, which is as near to a receipt as
 * syslog comes; a connection that is kept says nothing until the next notice is lost in it.
 */
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { connect, isIP } from "node:net";
import type { Socket } from "node:net";
import tls from "node:tls";
import { trusting } from "../../platform/trust.ts";
import type { Carried, Owed } from "./alert.ts";
import type { Carrier } from "./outbox.ts";
import { levelOf, syslogMessage, syslogText } from "./syslog-message.ts";
import type { SyslogSource } from "./syslog-message.ts";
import { unreached } from "./unreached.ts";

/** Where the server is. */
export type SyslogAddress =
  | { readonly transport: "udp" | "tcp" | "tls"; readonly host: string; readonly port: number }
  | { readonly transport: "unix"; readonly path: string };

/** For the connection and its handshake. */
const CONNECT_MS = 10_000;
/** A server that does not close its side has most likely read what came before our end. */
const CLOSE_MS = 5_000;
/** How long a machine that has no server may take to say so: ICMP is the only answer that UDP knows. */
const REFUSAL_MS = 250;
const LOGGER_MS = 10_000;

export interface SyslogOptions extends SyslogSource {
  readonly address: SyslogAddress;
  /** Further authorities to trust, PEM; read at each connection. */
  readonly ca: () => Promise<readonly string[]>;
  readonly sourceAddress: string | undefined;
  /** Default: `logger` of util-linux, looked for in PATH. */
  readonly logger?: string | undefined;
}

export function syslogCarrier(options: SyslogOptions): Carrier {
  return { carry: async ([owed]) => (owed === undefined ? { taken: true } : await send(owed, options)) };
}

async function send({ notice }: Owed, options: SyslogOptions): Promise<Carried> {
  const { address, ca, sourceAddress } = options;
  try {
    if (address.transport === "unix") {
      await hand(syslogText(notice), `${options.facility}.${levelOf(notice)}`, address.path, options);
      return { taken: true, note: "handed to the syslog of this machine" };
    }
    const message = syslogMessage(notice, options);
    if (address.transport === "udp") {
      await sendDatagram(message, address, sourceAddress);
      return { taken: true, note: "sent; UDP does not tell whether it arrived" };
    }
    const where = { ...address, ...(sourceAddress === undefined ? {} : { localAddress: sourceAddress }) };
    const closed = await stream(framed(message), address.transport === "tcp" ? () => connect(where) : await secured(where, await ca()));
    return { taken: true, note: closed ? "read and closed by the server" : "sent; the server did not close the connection" };
  } catch (error) {
    const place = address.transport === "unix" ? undefined : `${address.host}:${address.port}`;
    return { taken: false, ...unreached(codeOf(error), place, "alerts.syslog.address") };
  }
}

/** Octet counting (RFC 6587 §3.4.1): whatever is in the message, it ends where it ends. */
function framed(message: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${message.length} `), message]);
}

interface Where {
  readonly host: string;
  readonly port: number;
  readonly localAddress?: string;
}

async function secured(where: Where, ca: readonly string[]): Promise<() => Socket> {
  const secureContext = trusting(ca);
  const name = isIP(where.host) === 0 ? { servername: where.host } : {};
  return () => tls.connect({ ...where, ...name, secureContext });
}

/** Writes everything and ends. @returns whether the server closed its side */
function stream(octets: Buffer, open: () => Socket): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = open();
    const give = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    let timer = setTimeout(() => give(new Error("TIMEOUT")), CONNECT_MS);
    let isWritten = false;
    socket.once(socket instanceof tls.TLSSocket ? "secureConnect" : "connect", () => {
      socket.end(octets, () => {
        isWritten = true;
        clearTimeout(timer);
        timer = setTimeout(() => {
          socket.destroy();
          resolve(false);
        }, CLOSE_MS);
      });
    });
    socket.on("error", give);
    socket.on("close", () => {
      clearTimeout(timer);
      // Rejected already where there was a fault. A server that is full may close before it has read anything.
      if (isWritten) resolve(true);
      else reject(new Error("CLOSED"));
    });
    socket.resume();
  });
}

async function sendDatagram(message: Buffer, { host, port }: Where, sourceAddress: string | undefined): Promise<void> {
  const { address, family } = await lookup(host, { family: isIP(sourceAddress ?? "") });
  const socket = createSocket(family === 6 ? "udp6" : "udp4");
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      const go = (): void => {
        // Connected, so that a refusal finds its way back.
        socket.connect(port, address, () => {
          socket.send(message, (error) => {
            // Behind what came in meanwhile, however late the timer is.
            if (error === null) setTimeout(() => setImmediate(resolve), REFUSAL_MS);
            else reject(error);
          });
        });
      };
      if (sourceAddress === undefined) go();
      else socket.bind(0, sourceAddress, go);
    });
  } finally {
    socket.close();
  }
}

/**
 * Through a socket of this machine. Node cannot open AF_UNIX datagram sockets, so the program `logger` is started, without a shell. What listens
 * there (journald, rsyslog, syslog-ng) expects the older form of a line, not RFC 5424, and that is what it writes.
 */
function hand(text: string, priority: string, path: string, { logger = "logger", pid }: SyslogOptions): Promise<void> {
  const options = ["--socket", path, "--socket-errors=on", "--tag", "postern", `--id=${pid}`, "--priority", priority, "--size", "8192"];
  return new Promise((resolve, reject) => {
    const child = execFile(logger, options, { timeout: LOGGER_MS, env: { PATH: process.env["PATH"] } }, (error) => {
      if (error === null) resolve();
      else reject(new Error(error.code === "ENOENT" ? "LOGGER_MISSING" : "LOGGER_FAILED"));
    });
    // It may have ended before it read anything; then it has said so.
    child.stdin?.on("error", () => {});
    child.stdin?.end(`${text}\n`);
  });
}

/** A code only, as for the webhook. */
function codeOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return [code, message].find((one): one is string => typeof one === "string" && /^[A-Z0-9_]{2,60}$/.test(one)) ?? "FAILED";
}
