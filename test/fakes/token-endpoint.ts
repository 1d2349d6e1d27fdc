/** A sign-in service over TLS on the loopback interface that answers as a test tells it to. */
import https from "node:https";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { TestCertificate } from "./test-ca.ts";

/** One answer. */
export interface TokenAnswer {
  /** Default 200. */
  readonly status?: number;
  readonly body: unknown;
}

/** What came. */
export interface TokenQuestion {
  /** Without the query. */
  readonly path: string;
  readonly form: URLSearchParams;
  /** Address of the client. */
  readonly from: string;
}

export interface TokenEndpoint {
  readonly url: string;
  readonly port: number;
  readonly asked: readonly TokenQuestion[];
  readonly close: () => Promise<void>;
}

/** Starts it. A question that the function has no answer to gets 500. */
export async function startTokenEndpoint(
  certificate: TestCertificate,
  answer: (question: TokenQuestion) => TokenAnswer | undefined,
): Promise<TokenEndpoint> {
  const asked: TokenQuestion[] = [];
  const server = https.createServer(certificate, (request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const [path = ""] = (request.url ?? "").split("?");
      const form = new URLSearchParams(Buffer.concat(pieces).toString());
      const question = { path, form, from: request.socket.remoteAddress ?? "" };
      asked.push(question);
      const { status = 200, body } = answer(question) ?? { status: 500, body: {} };
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    asked,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
