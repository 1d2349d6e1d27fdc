import { createServer } from "node:net";

/**
 * Below the range that Linux takes ports from for outgoing connections and for whoever asks for any port (net.ipv4.ip_local_port_range, from 32768 on):
 * there a port that was free a moment ago may be somebody's the next, among thousands of connections.
 */
const [FIRST, LAST] = [20_000, 32_767];
const TRIES = 1000;

/**
 * A TCP port of 127.0.0.1 that is free, and that no other test gets as long as this process lives. Only for processes that must be told their port;
 * a server inside the test listens on port 0 instead.
 *
 * @throws Error when none is found
 */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < TRIES; tried++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
    if ((await reserve(port)) && (await isFree(port))) return port;
  }
  throw new Error(`none of ${TRIES} ports from ${FIRST} to ${LAST} is free on 127.0.0.1`);
}

const reserved = new Set<number>();

/** Among all test processes: a name in Linux's abstract namespace has one owner, and is free again when that ends. Elsewhere in this process only. */
async function reserve(port: number): Promise<boolean> {
  if (reserved.has(port)) return false;
  reserved.add(port);
  if (process.platform !== "linux") return true;
  return await listens({ path: `\0postern-test-port-${port}` }, true);
}

function isFree(port: number): Promise<boolean> {
  return listens({ host: "127.0.0.1", port }, false);
}

/** Whether nobody else listens there. */
function listens(where: { readonly path: string } | { readonly host: string; readonly port: number }, stays: boolean): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(where, () => {
      if (stays) {
        server.unref();
        resolve(true);
      } else server.close(() => resolve(true));
    });
  });
}
