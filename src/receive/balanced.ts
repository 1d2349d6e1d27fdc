/** Connections that come through a balancer: the header is taken off the raw socket before anything else looks at it, TLS included. */
import type { Socket } from "node:net";
import type { Clock } from "../platform/clock.ts";
import { readProxyHeader } from "./proxy-header.ts";

/** What came before the connection itself. */
export type Balanced =
  | { readonly kind: "header"; readonly device: string | undefined }
  | { readonly kind: "none"; readonly why: string }
  /** It ended without a word, as probes do. */
  | { readonly kind: "gone" };

/**
 * Reads the header of an accepted socket. What comes after it is back in the socket, which is paused.
 *
 * @param timeoutMs - longest wait for the whole header
 */
export function takeProxyHeader(socket: Socket, clock: Clock, timeoutMs: number): Promise<Balanced> {
  return new Promise((resolve) => {
    let octets: Buffer = Buffer.alloc(0);
    const settle = (result: Balanced): void => {
      cancel();
      socket.pause();
      socket.off("data", take);
      socket.off("end", ended);
      socket.off("close", ended);
      resolve(result);
    };
    const ended = (): void =>
      settle(octets.length === 0 ? { kind: "gone" } : { kind: "none", why: "the connection ended within the PROXY header" });
    const take = (chunk: Buffer): void => {
      octets = octets.length === 0 ? chunk : Buffer.concat([octets, chunk]);
      const header = readProxyHeader(octets);
      if (header.kind === "more") return;
      settle(header);
      const rest = header.kind === "header" ? octets.subarray(header.length) : octets;
      if (rest.length > 0) socket.unshift(rest);
    };
    const cancel = clock.after(timeoutMs, () => settle({ kind: "none", why: `no whole PROXY header came within ${timeoutMs / 1000} s` }));
    socket.on("data", take);
    socket.on("end", ended);
    socket.on("close", ended);
  });
}
