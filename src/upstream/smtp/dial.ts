/** Opens the socket that an SMTP session runs on, plain or with TLS from the start. */
import { isIP } from "node:net";
import net from "node:net";
import tls from "node:tls";
import { trusting } from "../../platform/trust.ts";
import type { Refusal } from "../upstream.ts";
import { faultAt, faultOf } from "./fault.ts";

/** Where to and how. */
export interface Destination {
  /** Name or address: what a certificate must be for. */
  readonly host: string;
  /** Where the name leads; without it the system resolves the name, hosts file included. */
  readonly address?: string | undefined;
  readonly port: number;
  /** Local address to connect from. */
  readonly sourceAddress?: string | undefined;
}

/** TLS of one upstream: the context is made at the first use, because parsing the root certificates takes time and memory. */
export interface TlsPolicy {
  /** Whether an unverified chain or name ends the connection. */
  readonly verify: boolean;
  readonly context: () => tls.SecureContext;
  /** Asked before a connection is opened; a refusal says why none may be. */
  readonly prepare?: (() => Promise<Refusal | undefined>) | undefined;
}

/**
 * The trust store of one upstream: the system's default roots and these.
 *
 * @param ca - further roots, PEM
 */
export function tlsPolicy(verify: boolean, ca: readonly string[]): TlsPolicy {
  return { verify, context: () => trusting(ca) };
}

/** Options for tls.connect: SNI and the name to verify are the host as configured. */
export function tlsOptions(host: string, policy: TlsPolicy): tls.ConnectionOptions {
  return { host, secureContext: policy.context(), rejectUnauthorized: policy.verify, ...(isIP(host) === 0 ? { servername: host } : {}) };
}

/**
 * A slow address of the only family must get its chance: Node's quarter second is meant for a broken IPv6 path and gives up on the attempt
 * when it moves on.
 */
const ADDRESS_ATTEMPT_MS = 3000;

/** A dial under way. */
export interface Dial {
  readonly done: Promise<net.Socket | Refusal>;
  /** Gives up; `done` then has this refusal. */
  readonly cancel: (refusal: Refusal) => void;
}

/** Connects, and performs the handshake where `implicit` is given. */
export function dial(to: Destination, implicit: TlsPolicy | undefined): Dial {
  let cancel!: (refusal: Refusal) => void;
  const done = new Promise<net.Socket | Refusal>((resolve) => {
    const plain = net.connect({
      host: to.address ?? to.host,
      port: to.port,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
      ...(to.sourceAddress === undefined ? {} : { localAddress: to.sourceAddress, family: isIP(to.sourceAddress) }),
    });
    let socket: net.Socket = plain;
    const settle = (result: net.Socket | Refusal): void => {
      plain.off("error", failed);
      socket.off("error", failed);
      plain.off("close", closed);
      if (!(result instanceof net.Socket)) {
        // Errors may still follow while it is torn down; they have been reported.
        plain.on("error", ignore);
        socket.on("error", ignore);
        socket.destroy();
        plain.destroy();
      }
      resolve(result);
    };
    const failed = (error: Error): void => settle({ stage: "connect", fault: faultOf(error) });
    const closed = (): void => settle(faultAt("connect", "RESET", "the connection was closed during the TLS handshake"));
    plain.on("error", failed);
    plain.once("connect", () => {
      if (implicit === undefined) return settle(plain);
      plain.once("close", closed);
      try {
        socket = tls.connect({ ...tlsOptions(to.host, implicit), socket: plain }, () => settle(socket));
        socket.on("error", failed);
      } catch (error) {
        failed(error as Error);
      }
    });
    cancel = settle;
  });
  return { done, cancel };
}

function ignore(): void {
  // A socket that was given up on has nothing left to say.
}
