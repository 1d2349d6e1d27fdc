/**
 * An SMTP server that says what a test tells it to say, for each stage and recipient, and keeps every octet it was sent.
 *
 * Nothing in it waits for the clock: an answer is held back by a gate (a promise), never by a delay. It shares no code with the relay.
 */
import { once } from "node:events";
import net from "node:net";
import type { AddressInfo } from "node:net";
import tls from "node:tls";

/** What the server does at one point of the dialogue. */
export interface ScriptedAction {
  /** Lines to send, joined by CRLF when several; `raw` sends exactly these octets instead. */
  readonly reply?: string | readonly string[] | undefined;
  readonly raw?: string | Uint8Array | undefined;
  /** The answer waits for this. */
  readonly gate?: Promise<unknown> | undefined;
  /** After the answer: `close` ends the connection in an orderly way, `reset` sends a TCP RST. */
  readonly drop?: "close" | "reset" | undefined;
  /** No answer, to this or to anything that follows. */
  readonly silent?: boolean | undefined;
}

/** A reply as it stands on the wire without the last CRLF (`"550 5.1.1 No"`, or several lines joined by `\r\n`), or a whole action. */
export type ScriptedStep = string | ScriptedAction;

/** One step for every time, a list used one after the other (the last one stays), or a function of what came. */
export type Script = ScriptedStep | readonly ScriptedStep[] | ((line: string, session: ScriptedSession) => ScriptedStep | undefined);

/**
 * Keys: `greeting ehlo helo starttls auth auth-response mail rcpt data content final rset noop quit unknown`, and for one address
 * `mail a@b.example` or `rcpt a@b.example`, which go before the general ones. `content` acts on the first octets after 354, before the
 * final dot (drop, early reply). Keys that are not given get a friendly answer (503 where RCPT or DATA come too early).
 */
export type ScriptedReplies = Readonly<Record<string, Script>>;

/** A transaction that reached the final dot. */
export interface ScriptedMessage {
  readonly mail: string;
  readonly rcpts: readonly string[];
  /** Octets after the 354 up to and including CR LF . CR LF. */
  readonly wire: Buffer;
  /** The same without dot-stuffing and terminator. */
  readonly content: Buffer;
  readonly session: ScriptedSession;
}

/** One connection. */
export interface ScriptedSession {
  readonly id: number;
  /** Where it came from. */
  readonly address: string;
  /** Every octet received, after decryption. */
  readonly received: () => Buffer;
  /** Every command line without CRLF, in order, content left out. */
  readonly commands: string[];
  /** Octets received after the last 354 that no final dot has ended yet. */
  readonly unfinished: () => Buffer;
  /** Negotiated protocol, `TLSv1.3`. */
  tls: string | undefined;
  /** The client's certificate, where `tls.requestCert` asked for one: its common name, and whether its chain led to `tls.ca`. */
  client: { readonly name: string; readonly trusted: boolean } | undefined;
  /** Whether the connection is still open. */
  open: boolean;
  /** Sends octets although nobody asked, for example a 421 on an idle connection. */
  readonly say: (wire: string) => void;
  /** Ends the connection from the server's side. */
  readonly drop: (how: "close" | "reset") => void;
}

/** How a scripted server starts. */
export interface ScriptedSmtpOptions {
  readonly replies?: ScriptedReplies | undefined;
  /** EHLO keywords before TLS; STARTTLS is added where `tls.mode` is `starttls` (the default of `tls`). */
  readonly extensions?: readonly string[] | undefined;
  /** EHLO keywords after STARTTLS or with implicit TLS; default the same as `extensions`. */
  readonly secureExtensions?: readonly string[] | undefined;
  readonly tls?: (tls.TlsOptions & { readonly mode?: "starttls" | "implicit" | undefined }) | undefined;
  /** Default 127.0.0.1 and any free port. */
  readonly host?: string | undefined;
  readonly port?: number | undefined;
}

/** Things a test can wait for. `next` counts from the moment of the call: call it before acting. */
interface ScriptedEvents {
  /** Greeting sent. */
  connected: ScriptedSession;
  /** A command line came. */
  command: { readonly line: string; readonly session: ScriptedSession };
  /** Octets of content came. */
  content: ScriptedSession;
  /** A final dot came (before the reply to it). */
  message: ScriptedMessage;
  /** The connection is gone. */
  closed: ScriptedSession;
}

export interface ScriptedSmtp {
  readonly host: string;
  readonly port: number;
  readonly sessions: readonly ScriptedSession[];
  readonly messages: readonly ScriptedMessage[];
  /** Most connections open at the same time so far. */
  readonly mostOpen: () => number;
  /** Replaces parts of the script from now on. */
  readonly script: (replies: ScriptedReplies) => void;
  /** Resolves with the next event of that kind that fits. */
  readonly next: <K extends keyof ScriptedEvents>(kind: K, fits?: (event: ScriptedEvents[K]) => boolean) => Promise<ScriptedEvents[K]>;
  /** Destroys every connection and stops listening. */
  readonly close: () => Promise<void>;
}

const FRIENDLY: Readonly<Record<string, string>> = {
  greeting: "220 scripted.example ESMTP",
  helo: "250 scripted.example",
  starttls: "220 2.0.0 SMTP server ready",
  auth: "235 2.7.0 Authentication successful",
  "auth-response": "235 2.7.0 Authentication successful",
  mail: "250 2.1.0 Sender OK",
  rcpt: "250 2.1.5 Recipient OK",
  data: "354 Start mail input; end with <CRLF>.<CRLF>",
  final: "250 2.0.0 OK queued as SCRIPTED",
  rset: "250 2.0.0 Resetting",
  noop: "250 2.0.0 OK",
  quit: "221 2.0.0 Service closing transmission channel",
  unknown: "500 5.5.2 Unknown command",
};

/** The word of the first path in a MAIL or RCPT command. */
function pathOf(line: string): string {
  return /<([^>]*)>/.exec(line)?.[1] ?? "";
}

/** Starts a scripted server. Close it in the test that started it. */
export async function startScriptedSmtp(options: ScriptedSmtpOptions = {}): Promise<ScriptedSmtp> {
  const host = options.host ?? "127.0.0.1";
  const extensions = options.extensions ?? ["PIPELINING", "SIZE 35651584", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"];
  const secureExtensions = options.secureExtensions ?? extensions;
  const tlsMode = options.tls === undefined ? "none" : (options.tls.mode ?? "starttls");
  const secureContext = options.tls === undefined ? undefined : tls.createSecureContext(options.tls);

  let replies: ScriptedReplies = options.replies ?? {};
  const used = new Map<string, number>();
  const sessions: ScriptedSession[] = [];
  const messages: ScriptedMessage[] = [];
  const sockets = new Set<net.Socket>();
  let open = 0;
  let mostOpen = 0;

  const waiting = new Set<{ kind: string; fits: (event: never) => boolean; resolve: (event: never) => void }>();
  function happened<K extends keyof ScriptedEvents>(kind: K, event: ScriptedEvents[K]): void {
    for (const waiter of waiting) {
      if (waiter.kind !== kind || !waiter.fits(event as never)) continue;
      waiting.delete(waiter);
      waiter.resolve(event as never);
    }
  }

  function stepFor(stage: string, line: string, session: ScriptedSession, inOrder = true): ScriptedStep {
    const address = stage === "mail" || stage === "rcpt" ? `${stage} ${pathOf(line)}` : undefined;
    const key = address !== undefined && replies[address] !== undefined ? address : stage;
    const script = replies[key];
    const friendly = (): ScriptedStep => {
      if (stage === "ehlo") {
        const offered = session.tls === undefined ? [...extensions, ...(tlsMode === "starttls" ? ["STARTTLS"] : [])] : secureExtensions;
        const lines = ["scripted.example Hello", ...offered];
        return lines.map((text, index) => `250${index === lines.length - 1 ? " " : "-"}${text}`).join("\r\n");
      }
      return inOrder ? (FRIENDLY[stage] ?? { silent: true }) : "503 5.5.1 Bad sequence of commands";
    };
    if (script === undefined) return friendly();
    if (typeof script === "function") return script(line, session) ?? friendly();
    if (Array.isArray(script)) {
      const list = script as readonly ScriptedStep[];
      const count = used.get(key) ?? 0;
      used.set(key, count + 1);
      return list[Math.min(count, list.length - 1)] ?? friendly();
    }
    return script as ScriptedStep;
  }

  function accept(plain: net.Socket): void {
    sockets.add(plain);
    open += 1;
    mostOpen = Math.max(mostOpen, open);
    let socket: net.Socket = plain;
    let pending = Buffer.alloc(0);
    let mode: "command" | "content" | "auth" = "command";
    let contentSeen = false;
    let busy = false;
    let mute = false;
    let mail = "";
    let rcpts: string[] = [];
    const received: Buffer[] = [];

    const session: ScriptedSession = {
      id: sessions.length,
      address: plain.remoteAddress ?? "",
      commands: [],
      tls: undefined,
      client: undefined,
      open: true,
      received: () => Buffer.concat(received),
      unfinished: () => (mode === "content" ? pending : Buffer.alloc(0)),
      say: (wire) => void socket.write(wire),
      drop: (how) => (how === "reset" ? plain.resetAndDestroy() : socket.end()),
    };
    sessions.push(session);

    plain.on("error", () => plain.destroy());
    plain.on("close", () => {
      sockets.delete(plain);
      session.open = false;
      open -= 1;
      happened("closed", session);
    });

    function attach(): void {
      socket.on("data", (chunk: Buffer) => {
        received.push(chunk);
        pending = Buffer.concat([pending, chunk]);
        if (mode === "content") happened("content", session);
        void turn();
      });
      socket.on("end", () => socket.end());
    }

    /** Performs a step; false when the dialogue is over. Octets leave before this resolves. */
    async function perform(step: ScriptedStep): Promise<{ readonly code: string; readonly goOn: boolean }> {
      const action: ScriptedAction = typeof step === "string" ? { reply: step } : step;
      if (action.gate !== undefined) await action.gate;
      if (action.silent === true) mute = true;
      if (mute) return { code: "", goOn: false };
      const lines = typeof action.reply === "string" ? action.reply : action.reply?.join("\r\n");
      const wire = action.raw ?? (lines === undefined ? undefined : `${lines}\r\n`);
      if (wire !== undefined && socket.writable) await new Promise<void>((done) => socket.write(wire, () => done()));
      if (action.drop !== undefined) session.drop(action.drop);
      return { code: lines?.slice(-200).split("\r\n").at(-1)?.slice(0, 3) ?? "", goOn: action.drop === undefined };
    }

    async function secure(): Promise<void> {
      const secured = new tls.TLSSocket(plain, { isServer: true, secureContext, ...options.tls });
      plain.removeAllListeners("data");
      plain.removeAllListeners("end");
      pending = Buffer.alloc(0);
      socket = secured;
      const failed = new Promise<false>((resolve) => {
        secured.once("error", () => resolve(false));
        secured.once("close", () => resolve(false));
      });
      secured.on("error", () => plain.destroy());
      if (await Promise.race([once(secured, "secure").then(() => true as const), failed])) {
        session.tls = secured.getProtocol() ?? "unknown";
        const { subject } = secured.getPeerCertificate();
        // A server has no name to check the client's against.
        if (subject !== undefined)
          session.client = {
            name: String(subject.CN),
            trusted: (secured as unknown as { ssl: { verifyError(): unknown } }).ssl.verifyError() === null,
          };
      }
      attach();
    }

    /** Takes one thing off the input; false when more octets are needed. */
    async function takeOne(): Promise<boolean> {
      if (mode === "content") return await takeContent();
      const end = pending.indexOf("\r\n");
      if (end < 0) return false;
      const line = pending.toString("utf8", 0, end);
      pending = pending.subarray(end + 2);
      session.commands.push(line);
      happened("command", { line, session });
      if (mode === "auth") {
        mode = "command";
        const { code, goOn } = await perform(stepFor("auth-response", line, session));
        if (code === "334") mode = "auth";
        return goOn;
      }
      const verb = /^[a-z]+/i.exec(line)?.[0].toLowerCase() ?? "";
      const stage = FRIENDLY[verb] !== undefined || verb === "ehlo" ? verb : "unknown";
      const inOrder = stage === "rcpt" ? mail !== "" : stage === "data" ? rcpts.length > 0 : true;
      const { code, goOn } = await perform(stepFor(stage, line, session, inOrder));
      if (!goOn) return false;
      const yes = code.startsWith("2");
      if (stage === "mail" && yes) mail = line;
      else if (stage === "rcpt" && yes) rcpts.push(line);
      else if (stage === "rset" && yes) [mail, rcpts] = ["", []];
      else if (stage === "auth" && code === "334") mode = "auth";
      else if (stage === "data" && code.startsWith("3")) [mode, contentSeen] = ["content", false];
      else if (stage === "starttls" && code === "220" && secureContext !== undefined) await secure();
      else if (stage === "quit") socket.end();
      return true;
    }

    async function takeContent(): Promise<boolean> {
      if (!contentSeen && pending.length > 0) {
        contentSeen = true;
        happened("content", session);
        if (replies["content"] !== undefined && !(await perform(stepFor("content", "", session))).goOn) return false;
      }
      const atStart = pending.subarray(0, 3).toString("latin1") === ".\r\n";
      const dot = atStart ? -2 : pending.indexOf("\r\n.\r\n");
      if (!atStart && dot < 0) return false;
      const wire = Buffer.from(pending.subarray(0, dot + 5));
      pending = pending.subarray(dot + 5);
      mode = "command";
      const body = wire.subarray(0, wire.length - 3).toString("latin1");
      const content = Buffer.from(body.replace(/(^|\r\n)\./g, "$1"), "latin1");
      const message: ScriptedMessage = { mail, rcpts, wire, content, session };
      [mail, rcpts] = ["", []];
      messages.push(message);
      happened("message", message);
      return (await perform(stepFor("final", "", session))).goOn;
    }

    async function turn(): Promise<void> {
      if (busy || mute) return;
      busy = true;
      while (await takeOne());
      busy = false;
    }

    void (async () => {
      busy = true;
      if (tlsMode === "implicit") await secure();
      else attach();
      const { goOn } = await perform(stepFor("greeting", "", session));
      busy = false;
      if (!goOn) return;
      happened("connected", session);
      await turn();
    })();
  }

  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, accept);
  server.listen(options.port ?? 0, host);
  await once(server, "listening");

  return {
    host,
    port: (server.address() as AddressInfo).port,
    sessions,
    messages,
    mostOpen: () => mostOpen,
    script: (more) => {
      for (const key of Object.keys(more)) used.delete(key);
      replies = { ...replies, ...more };
    },
    next: async (kind, fits = () => true) => await new Promise((resolve) => waiting.add({ kind, fits, resolve })),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
