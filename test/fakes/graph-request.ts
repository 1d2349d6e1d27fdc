/** Asks the stand-in's Graph over HTTPS, without any library. */
import { request } from "node:https";
import type { ClientRequest, IncomingHttpHeaders } from "node:http";

import type { Simulator } from "../../src/simulator/simulator.ts";

/** An answer of Graph. */
export interface GraphAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Header names and values as they were sent. */
  readonly rawHeaders: readonly string[];
  readonly text: string;
  /** The body as JSON; empty where it is none. */
  readonly body: { readonly error?: { readonly code: string; readonly message: string; readonly innerError: object } } & Record<
    string,
    unknown
  >;
}

/** What a request has besides method and path. */
export interface GraphRequest {
  readonly token?: string | undefined;
  readonly type?: string | undefined;
  readonly body?: string | Buffer | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Told of the request as soon as it is made. */
  readonly started?: ((call: ClientRequest) => void) | undefined;
}

/** Sends a request; `target` is a path or a whole URL. Rejects when the connection breaks. */
export function askGraph(simulator: Simulator, method: string, target: string, options: GraphRequest = {}): Promise<GraphAnswer> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
      ...(options.type === undefined ? {} : { "content-type": options.type }),
      ...(options.body === undefined ? {} : { "content-length": String(Buffer.byteLength(options.body)) }),
      ...options.headers,
    };
    const call = request(new URL(target, simulator.graphUrl), { method, ca: simulator.caPem, agent: false, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => (text += piece));
      response.on("error", reject);
      response.on("end", () => {
        const isJson = response.headers["content-type"]?.startsWith("application/json") === true;
        const body = isJson ? (JSON.parse(text) as GraphAnswer["body"]) : {};
        resolve({ status: response.statusCode ?? 0, headers: response.headers, rawHeaders: response.rawHeaders, text, body });
      });
    });
    call.on("error", reject);
    options.started?.(call);
    call.end(options.body);
  });
}

/** Sends MIME in base64 as the mailbox. */
export function postMime(
  simulator: Simulator,
  token: string,
  mime: string | Buffer,
  mailbox = "scanner@contoso.com",
): Promise<GraphAnswer> {
  const body = Buffer.from(mime).toString("base64");
  return askGraph(simulator, "POST", `/v1.0/users/${mailbox}/sendMail`, { token, type: "text/plain", body });
}
