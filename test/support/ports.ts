import { createServer } from "node:net";

/**
 * A TCP port of 127.0.0.1 that was free a moment ago. Only for processes that must be told their port; a server inside the test
 * listens on port 0 instead.
 */
export async function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
