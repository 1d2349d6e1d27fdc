/**
 * One read buffer for the sockets that SMTP is spoken on. By itself Node allocates 64 KiB for every read of every socket, and what is read of a
 * large message becomes garbage faster than it is collected.
 *
 * Node has this for sockets that are given it when they are made (`onread` of `net.Socket`, documented), not for those that a server accepts or
 * that a library reads first. The three fields behind it are looked up on a socket made for that; where they are not what we know, `readThrough`
 * says so and sockets are read the ordinary way.
 */
import { Socket } from "node:net";

/** Takes what was read, which is only valid during the call. False: no more until `socket.resume()`. */
export type TakeOctets = (chunk: Buffer) => boolean;

/** A larger one gained nothing when measured, and what a client sends ahead of our answers is held up to this size. */
const shared = Buffer.allocUnsafeSlow(64 * 1024);

/** The socket's fields for its buffer and its callback. */
const fields = findFields();

function findFields(): { readonly buffer: symbol; readonly callback: symbol } | undefined {
  const callback = (): boolean => true;
  const probe = new Socket({ onread: { buffer: shared, callback } }) as unknown as Record<symbol, unknown>;
  const symbols = Object.getOwnPropertySymbols(probe);
  const bufferField = symbols.find((symbol) => probe[symbol] === shared);
  const callbackField = symbols.find((symbol) => probe[symbol] === callback);
  return bufferField === undefined || callbackField === undefined ? undefined : { buffer: bufferField, callback: callbackField };
}

/** A stream handle that reads into memory of ours. */
interface BufferedHandle {
  useUserBuffer(buffer: Uint8Array): void;
}

/**
 * Reads a socket into the shared buffer from now on, a plain one or one with TLS. Call it before the event loop turns, or after reading what the stream
 * holds. End and errors are the socket's events as ever; a TLS socket may be put on top of a plain one later.
 *
 * @returns false where this Node offers no such thing: listen for `data` then
 */
export function readThrough(socket: Socket, take: TakeOctets): boolean {
  const handle = (socket as unknown as { readonly _handle?: Partial<BufferedHandle> | null })._handle;
  if (fields === undefined || typeof handle?.useUserBuffer !== "function") return false;
  const open = socket as unknown as Record<symbol, unknown>;
  open[fields.buffer] = shared;
  open[fields.callback] = (length: number): boolean => take(shared.subarray(0, length));
  handle.useUserBuffer(shared);
  return true;
}

const nothing = (): void => undefined;

/**
 * Cuts a closed socket off from whoever used it. Its handle points to it, and the collector of young objects takes such handles for used ones: until the
 * next full collection they keep the socket, and what its listeners know.
 */
export function forget(socket: Socket): void {
  socket.removeAllListeners();
  socket.on("error", nothing);
  if (fields !== undefined) (socket as unknown as Record<symbol, unknown>)[fields.callback] = nothing;
}
