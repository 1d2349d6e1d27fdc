/**
 * The accept layer: from a fresh socket to a session, or to a short refusal. Address to client, places per device and in all, and the end
 * of everything at shutdown.
 */
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { isDeepStrictEqual } from "node:util";
import type { Reply } from "../mail/reply.ts";
import { takeProxyHeader } from "./balanced.ts";
import { Directory } from "./directory.ts";
import type { Standing } from "./directory.ts";
import { canonicalPeer, deviceGroup, NetworkTable } from "./networks.ts";
import type { AdmissionKind, Admissions, Certificates, ClientOptions, Endpoint, ListenerOptions, SessionContext } from "./options.ts";
import type { Places, Waiting } from "./places.ts";
import { notAllowed, REPLIES, wireReply } from "./replies.ts";
import { TlsServers } from "./tls-servers.ts";

/** How long an address that no network names may wait for the names of clients to be looked up again. */
const LOOK_AGAIN_MS = 3_000;
/** How long a refused client gets to read its line. */
const REFUSAL_LINGER_MS = 2_000;

/** An address that is listened on. A reload may hand it to another acceptor without closing it. */
export interface BoundSocket {
  readonly endpoint: Endpoint;
  readonly server: Server;
  readonly address: AddressInfo;
  owner: Acceptor;
}
/** A balancer's own connection: it is greeted, and may send nothing. */
const HEALTH_CHECK: Standing = { client: undefined, owner: undefined, signIn: undefined };

/** One listener: its sockets, its clients by network. */
export class Acceptor {
  readonly #context: SessionContext;
  readonly #places: Places;
  readonly #servers: TlsServers;
  #directory: Directory;
  readonly #bound: BoundSocket[] = [];
  readonly #refused = new Set<Socket>();
  readonly #balancers = new NetworkTable<true>();
  /** Connections of balancers whose header is not whole. */
  readonly #early = new Set<Socket>();
  readonly #nextId: () => string;
  #stopping = false;

  /** @throws Error for a network that cannot be read or is listed twice, and for a certificate that OpenSSL does not take */
  constructor(context: SessionContext, clients: readonly ClientOptions[], places: Places, nextId: () => string) {
    this.#context = context;
    this.#places = places;
    this.#nextId = nextId;
    this.#servers = new TlsServers(context);
    // What OpenSSL does not take must be known before anybody connects.
    this.#servers.of(undefined);
    for (const network of context.listener.proxyProtocol ?? []) this.#balancers.add(network, true);
    this.#directory = this.prepare(clients);
  }

  get listener(): ListenerOptions {
    return this.#context.listener;
  }

  /**
   * Who may come in by this listener.
   *
   * @throws Error for a network that cannot be read or is listed twice, and for TLS that the listener has no certificate for
   */
  prepare(clients: readonly ClientOptions[]): Directory {
    const { name, auth } = this.listener;
    for (const client of clients) if (client.listeners?.includes(name) !== false) this.#servers.of(client);
    return new Directory(name, auth ?? "none", clients);
  }

  /** A reload's clients, for connections from now on; sessions keep theirs. */
  update(directory: Directory): void {
    this.#directory = directory;
  }

  /** Addresses bound, in the order of the endpoints. */
  get addresses(): readonly AddressInfo[] {
    return this.#bound.map(({ address }) => address);
  }

  /** What is bound, to be handed on. */
  get sockets(): readonly BoundSocket[] {
    return this.#bound;
  }

  /**
   * Binds all endpoints; those that another listener has bound are only looked up, for `takeOver`.
   *
   * @param makeWay - closes what keeps an endpoint from being bound where the relay itself gives that up; false when that is nothing
   * @throws the error of the first that cannot be bound
   */
  async start(inherited: readonly BoundSocket[], makeWay: (error: unknown) => Promise<boolean>): Promise<void> {
    for (const endpoint of this.#context.listener.endpoints) {
      const known = inherited.find((socket) => isDeepStrictEqual(socket.endpoint, endpoint));
      this.#bound.push(known ?? (await this.#bind(endpoint, makeWay)));
    }
  }

  async #bind(endpoint: Endpoint, makeWay: (error: unknown) => Promise<boolean>): Promise<BoundSocket> {
    const server = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark: 64 * 1024 }, (socket) => bound.owner.#accept(socket));
    let address: AddressInfo;
    try {
      address = await bind(server, endpoint);
    } catch (error) {
      if (!(await makeWay(error))) throw error;
      address = await bind(server, endpoint);
    }
    const bound: BoundSocket = { endpoint, server, address, owner: this };
    return bound;
  }

  /** Takes what comes in by all of its sockets from now on. */
  takeOver(): void {
    const { listener, options } = this.#context;
    for (const bound of this.#bound) {
      bound.owner = this;
      const { address, port } = bound.address;
      options.emit({ type: "listener.bound", listener: listener.name, address, port, tls: listener.tls.mode });
    }
  }

  /** Its listener is gone, or another one took its place: closes what nobody took over. Sessions and connections that wait for a place go on. */
  leave(): void {
    const { listener, options } = this.#context;
    for (const { owner, server, address } of this.#bound) {
      if (owner !== this) continue;
      server.close();
      options.emit({ type: "listener.closed", listener: listener.name, address: address.address, port: address.port });
    }
  }

  /** Takes no new connections and refuses those that wait. Sessions go on. */
  stop(): void {
    this.#stopping = true;
    for (const { owner, server } of this.#bound) if (owner === this) server.close();
  }

  /** Other certificates from the next handshake on. @throws Error when they do not fit: those before stay */
  present(certificates: Certificates): void {
    this.#servers.present(certificates);
  }

  /** Ends what is left of refused connections. */
  destroyRefused(): void {
    for (const socket of [...this.#refused, ...this.#early]) socket.destroy();
  }

  #accept(socket: Socket): void {
    // A reset may come at any time, before a session listens for it.
    socket.on("error", ignore);
    const peer = canonicalPeer(socket.remoteAddress);
    if (peer === "") socket.destroy();
    else if (this.#balancers.find(peer) === undefined) this.#arrive(socket, peer);
    else if (this.#early.size >= this.#context.limits.sessions) socket.destroy();
    else void this.#arriveBalanced(socket, peer);
  }

  /** From a balancer: the device is whom its header names. Never rejects. */
  async #arriveBalanced(socket: Socket, balancer: string): Promise<void> {
    const { options, limits } = this.#context;
    this.#early.add(socket);
    const header = await takeProxyHeader(socket, options.clock, limits.proxyHeaderMs);
    this.#early.delete(socket);
    if (header.kind === "gone" || socket.destroyed) socket.destroy();
    else if (header.kind === "none") {
      const remedy = "switch the PROXY protocol on in the balancer, or take its address out of proxy_protocol";
      this.#refuse(socket, balancer, "proxy-header", REPLIES.needsProxy, undefined, remedy, header.why);
    } else if (header.device !== undefined) this.#arrive(socket, header.device, balancer);
    else if (this.#directory.find(balancer) !== undefined) this.#arrive(socket, balancer);
    // A balancer that looks whether we live must get its 220, or it takes everybody away from us.
    else this.#enter(socket, balancer, HEALTH_CHECK, "health");
  }

  #arrive(socket: Socket, device: string, balancer?: string): void {
    const client = this.#directory.find(device);
    if (client !== undefined) return this.#stand(socket, device, client, "network", balancer);
    const { admissions } = this.#context.options;
    const admission = this.#clientOf(admissions?.admit(device, this.#context.listener.name));
    if (admission !== undefined) return this.#stand(socket, device, admission.client, admission.how, balancer);
    // Whoever is refused in great numbers does not get to wait.
    const again =
      this.#refused.size >= this.#context.limits.sessions ? undefined : admissions?.lookAgain(device, this.#context.listener.name);
    if (again === undefined) this.#stand(socket, device, undefined, "user", balancer);
    else void this.#standAfter(socket, device, again, balancer);
  }

  /** Lets a device in as far as its address goes on this listener, or refuses it. */
  #stand(socket: Socket, device: string, client: ClientOptions | undefined, admission: AdmissionKind, balancer: string | undefined): void {
    const standing = this.#directory.standing(client);
    if ("refused" in standing) this.#refuseUnlisted(socket, device, standing.remedy);
    else this.#enter(socket, device, standing, standing.client === undefined ? "user" : admission, balancer);
  }

  #clientOf(found: ReturnType<Admissions["admit"]>): { client: ClientOptions; how: AdmissionKind } | undefined {
    const client = found === undefined ? undefined : this.#directory.named(found.client);
    return found === undefined || client === undefined ? undefined : { client, how: found.how };
  }

  /** Lets a device in once its name is known to belong to this address; nothing is read before. */
  async #standAfter(
    socket: Socket,
    device: string,
    again: Promise<ReturnType<Admissions["admit"]>>,
    balancer: string | undefined,
  ): Promise<void> {
    socket.pause();
    this.#refused.add(socket);
    const late = Promise.withResolvers<undefined>();
    const cancel = this.#context.options.clock.after(LOOK_AGAIN_MS, () => late.resolve(undefined));
    const found = await Promise.race([again.catch(() => undefined), late.promise]);
    cancel();
    this.#refused.delete(socket);
    if (socket.destroyed) return;
    const admission = this.#clientOf(found);
    this.#stand(socket, device, admission?.client, admission?.how ?? "user", balancer);
  }

  #refuseUnlisted(socket: Socket, device: string, known: string | undefined): void {
    const { options, listener } = this.#context;
    const remedy =
      known ??
      `add ${device} to the networks of a client that may use listener ${listener.name}, or: postern devices allow ${device} --client NAME`;
    this.#refuse(socket, device, "unlisted", notAllowed(options.hostname, device), undefined, remedy);
  }

  #enter(socket: Socket, device: string, standing: Standing, admission: AdmissionKind, balancer?: string): void {
    const { limits } = this.#context.of(standing.owner);
    const client = standing.owner;
    if (this.#stopping) return this.#refuse(socket, device, "stopping", REPLIES.shuttingDown, client);
    if (this.#places.sessions.size >= limits.sessions) return this.#refuse(socket, device, "sessions", REPLIES.tooManySessions, client);
    const group = deviceGroup(device);
    if (this.#places.of(group) < limits.sessionsPerDevice) this.#admit(socket, device, standing, admission, balancer);
    else if (this.#places.makeRoom(group, limits.sessions)) this.#wait(socket, device, standing, admission, balancer);
    else this.#refuseCrowd(socket, device, client);
  }

  #admit(socket: Socket, device: string, standing: Standing, admission: AdmissionKind, balancer: string | undefined): void {
    const peer = { id: this.#nextId(), device, group: deviceGroup(device), standing, admission, balancer };
    const session = this.#servers.of(standing.owner).open(socket, peer, this.#places, this.#context.of(standing.owner));
    this.#places.take(session);
    session.init();
  }

  /** Nothing is read and nothing is said until a session of the same device ends. */
  #wait(socket: Socket, device: string, standing: Standing, admission: AdmissionKind, balancer: string | undefined): void {
    const client = standing.owner;
    const group = deviceGroup(device);
    socket.pause();
    const leave = (): void => {
      stopTimer();
      socket.off("close", leave);
      this.#places.unqueue(group, entry);
    };
    const refuse = (): void => {
      leave();
      this.#refuseCrowd(socket, device, client);
    };
    const entry: Waiting = {
      admit: () => {
        leave();
        this.#admit(socket, device, standing, admission, balancer);
      },
      cancel: () => {
        leave();
        this.#refuse(socket, device, "stopping", REPLIES.shuttingDown, client);
      },
      refuse,
    };
    const stopTimer = this.#context.options.clock.after(this.#context.of(client).limits.placeWaitMs, refuse);
    socket.once("close", leave);
    this.#places.queue(group, entry);
  }

  #refuseCrowd(socket: Socket, device: string, client: ClientOptions | undefined): void {
    const remedy = "the device opens more connections than its limit: lower it there, or raise sessions_per_device under limits";
    this.#refuse(socket, device, "device-sessions", REPLIES.tooManyDeviceSessions, client, remedy);
  }

  /**
   * One line, then the end. Unread input would turn our close into a reset that takes the line with it, so it is read and dropped. On
   * implicit TLS a line in clear would only be noise in a handshake: the connection is closed without a word, and the event says why.
   */
  #refuse(
    socket: Socket,
    device: string,
    reason: string,
    reply: Reply,
    client: ClientOptions | undefined,
    remedy?: string,
    detail?: string,
  ): void {
    const { options, listener } = this.#context;
    options.emit({
      type: "session.rejected",
      session: this.#nextId(),
      listener: listener.name,
      client: client?.name,
      device,
      reason,
      reply,
      detail,
      remedy,
    });
    if (listener.tls.mode === "implicit" || this.#refused.size >= this.#context.limits.sessions) {
      socket.destroy();
      return;
    }
    this.#refused.add(socket);
    const cancel = options.clock.after(REFUSAL_LINGER_MS, () => socket.destroy());
    socket.once("close", () => {
      cancel();
      this.#refused.delete(socket);
    });
    socket.on("end", () => socket.destroy());
    socket.resume();
    socket.end(wireReply(reply));
  }
}

function ignore(): void {
  // The close event follows.
}

/** Binds what was closed where it was. @throws the error of the bind */
export async function bindAgain({ server, endpoint, address }: BoundSocket): Promise<void> {
  await bind(server, { ...endpoint, port: address.port });
}

async function bind(server: Server, endpoint: Endpoint): Promise<AddressInfo> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  const { host, port } = endpoint;
  // `::` written out is IPv6 alone, so that 0.0.0.0 may be bound beside it.
  server.listen({ port, backlog: 1024, ...(host === undefined ? {} : { host, ipv6Only: host === "::" }) }, resolve);
  await promise;
  server.off("error", reject);
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not bound to a port");
  return address;
}
