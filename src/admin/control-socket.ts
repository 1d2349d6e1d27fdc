/** The place of the control socket, and the rules for taking it over. */
import { rm, stat } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { PosternError } from "../mail/errors.ts";
import { ensurePrivateDirectory } from "../platform/files.ts";

/** sun_path of Linux holds 108 octets with the final NUL; a longer path would be cut without a word. */
const LONGEST_SOCKET_PATH = 107;

/** `<data_dir>/deliver/control.sock`. */
export function controlSocketPath(dataDir: string): string {
  return join(dataDir, "deliver", "control.sock");
}

/**
 * Makes the path free to listen on: its folder exists and is private, a socket that a crash left behind is gone.
 *
 * @throws PosternError E_UNAVAILABLE when another daemon answers there, E_CONFIG when the path is too long or taken by something else
 */
export async function prepareControlSocket(path: string): Promise<void> {
  if (Buffer.byteLength(path) > LONGEST_SOCKET_PATH) {
    throw new PosternError(
      "E_CONFIG",
      `data_dir is too deep: the path of the control socket, ${path}, is over ${LONGEST_SOCKET_PATH} octets`,
    );
  }
  await ensurePrivateDirectory(dirname(path));
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket()) throw new PosternError("E_CONFIG", `${path} is in the way: expected a socket or nothing`);
  if (await answers(path)) throw new PosternError("E_UNAVAILABLE", `another daemon is running on this data_dir (it answers on ${path})`);
  await rm(path, { force: true });
}

/** Whether somebody accepts connections. Only a refusal proves that nobody does. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"));
  });
}
