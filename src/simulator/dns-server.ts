/** A DNS server on one port, UDP and TCP, that answers for the tenant and for Microsoft's host names. It asks nobody else. */
import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import type { RemoteInfo, Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { isIPv6 } from "node:net";

import { TYPES, readQuestion, writeAnswer } from "./dns-message.ts";
import type { Question } from "./dns-message.ts";
import { answerFrom, failureOf } from "./dns-zone.ts";
import type { SimulatorEvent } from "./simulator-events.ts";
import type { Tenant } from "./tenant.ts";

const TCP_CONNECTIONS_MAX = 100;
const TCP_IDLE_MS = 10_000;
/** Tries to find a port that is free for both protocols. */
const PORT_TRIES = 20;

/** What the server works with. */
export interface DnsOptions {
  readonly tenant: Tenant;
  readonly emit: (event: SimulatorEvent) => void;
}

/** The server. */
export class DnsServer {
  #options: DnsOptions;
  #udp: UdpSocket | undefined;
  #tcp: Server | undefined;
  #connections = new Set<Socket>();

  constructor(options: DnsOptions) {
    this.#options = options;
  }

  /**
   * Listens on a port for both protocols; 0 takes a free one.
   *
   * @throws the system's error when it is taken
   */
  async listen(port: number, host: string): Promise<number> {
    for (let tries = 1; ; tries += 1) {
      const tcp = createServer((socket) => this.#serve(socket));
      tcp.maxConnections = TCP_CONNECTIONS_MAX;
      tcp.listen(port, host);
      await once(tcp, "listening");
      const taken = (tcp.address() as AddressInfo).port;
      const udp = createSocket(isIPv6(host) ? "udp6" : "udp4");
      try {
        udp.bind(taken, host);
        await once(udp, "listening");
      } catch (error) {
        tcp.close();
        // The free port of one protocol need not be free in the other.
        if (port !== 0 || tries === PORT_TRIES) throw error;
        continue;
      }
      udp.on("message", (message, peer) => this.#answerDatagram(udp, message, peer));
      udp.on("error", () => undefined);
      this.#tcp = tcp;
      this.#udp = udp;
      return taken;
    }
  }

  /** Stops listening, ends every connection. */
  async close(): Promise<void> {
    const udp = this.#udp;
    const tcp = this.#tcp;
    this.#udp = undefined;
    this.#tcp = undefined;
    for (const socket of this.#connections) socket.destroy();
    if (udp !== undefined) {
      udp.close();
      await once(udp, "close");
    }
    if (tcp !== undefined) {
      tcp.close();
      await once(tcp, "close");
    }
  }

  #answerDatagram(udp: UdpSocket, message: Buffer, peer: RemoteInfo): void {
    const question = readQuestion(message);
    const answer = question === undefined ? undefined : this.#answer(question, question.udpSize);
    if (answer !== undefined) udp.send(answer, peer.port, peer.address, () => undefined);
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    let waiting: Buffer = Buffer.alloc(0);
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    socket.on("error", () => undefined);
    socket.on("close", () => this.#connections.delete(socket));
    socket.on("data", (piece: Buffer) => {
      waiting = Buffer.concat([waiting, piece]);
      while (waiting.length >= 2 && waiting.length >= 2 + waiting.readUInt16BE(0)) {
        const length = waiting.readUInt16BE(0);
        const question = readQuestion(waiting.subarray(2, 2 + length));
        waiting = waiting.subarray(2 + length);
        if (question === undefined) {
          socket.destroy();
          return;
        }
        const answer = this.#answer(question);
        if (answer === undefined) continue;
        const prefix = Buffer.alloc(2);
        prefix.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([prefix, answer]));
      }
    });
  }

  /** The answer, undefined when the name is to be met with silence. */
  #answer(question: Question, maxBytes?: number): Buffer | undefined {
    const { tenant, emit } = this.#options;
    const type = TYPES[question.type];
    if (failureOf(tenant, question.name) === "SILENT") {
      emit({ type: "dns.asked", name: question.name, record: type ?? String(question.type), code: "none" });
      return undefined;
    }
    const found =
      question.code === "NOTIMP"
        ? { code: "NOTIMP" as const, answers: [], authority: [], additional: [] }
        : answerFrom(tenant, question.name, type);
    emit({ type: "dns.asked", name: question.name, record: type ?? String(question.type), code: found.code });
    return writeAnswer(question, found, maxBytes);
  }
}
