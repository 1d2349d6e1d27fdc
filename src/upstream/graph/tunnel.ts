/** A way through an HTTP proxy: CONNECT (RFC 9110 §9.3.6). What goes through is TLS to the far end, so the proxy sees none of it. */
import https from "node:https";
import type { Socket } from "node:net";
import { request } from "../../platform/http.ts";
import { trusting } from "../../platform/trust.ts";

export interface TunnelOptions {
  /** `http://[user:password@]host:port`, or https. */
  readonly proxy: string;
  /** Root certificates for a proxy over https besides the usual ones, PEM. */
  readonly ca?: readonly string[] | undefined;
  /** `host:port`. */
  readonly target: string;
  readonly sourceAddress: string | undefined;
  readonly timeoutMs: number;
}

/** One of two: a connection to the target, or an error with the code `PROXY` where the proxy refuses, else that of the network. */
export type TunnelOpened = (...result: [error: null, socket: Socket] | [error: Error, socket: undefined]) => void;

/** Asks the proxy for a connection to the target; calls back once. */
export function openTunnel({ proxy, ca, target, sourceAddress, timeoutMs }: TunnelOptions, opened: TunnelOpened): void {
  const { protocol, hostname, port, username, password } = new URL(proxy);
  const isSecure = protocol === "https:";
  const login = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
  let isOver = false;
  const settle: TunnelOpened = (...result) => {
    if (!isOver) opened(...result);
    isOver = true;
  };
  const asked = (isSecure ? https.request : request)({
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? (isSecure ? 443 : 80) : Number(port),
    method: "CONNECT",
    path: target,
    agent: false,
    timeout: timeoutMs,
    headers: { host: target, ...(username === "" ? {} : { "proxy-authorization": `Basic ${login}` }) },
    ...(sourceAddress === undefined ? {} : { localAddress: sourceAddress }),
    ...(isSecure ? { secureContext: trusting(ca ?? []) } : {}),
  });
  asked.once("connect", (answer, socket: Socket) => {
    socket.setTimeout(0);
    if (answer.statusCode === 200) {
      settle(null, socket);
      return;
    }
    socket.destroy();
    settle(refusal(`the proxy refuses the connection to ${target}: ${answer.statusCode ?? 0} ${answer.statusMessage ?? ""}`), undefined);
  });
  asked.once("timeout", () => asked.destroy(Object.assign(new Error("no answer from the proxy in time"), { code: "ETIMEDOUT" })));
  asked.on("error", (error) => settle(error, undefined));
  asked.end();
}

function refusal(text: string): Error {
  return Object.assign(new Error(text), { code: "PROXY" });
}
