/**
 * The tokens of the API. The file is what counts: it is looked at for each request, so what a command wrote while no daemon ran, or another one
 * restored, holds at once.
 *
 * Crash here, what is lost? Nothing that was answered: a token is on disk before it is shown, a revocation before it is confirmed. Of the last
 * uses the last hour may be.
 */
import { timingSafeEqual } from "node:crypto";
import { describeError, PosternError } from "../mail/errors.ts";
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import { looksOfTokenFile, readTokenFile, writeTokenFile } from "./token-file.ts";
import { hashToken, isToken, isTokenName, makeToken, TOKEN_NAME_EXPECTED, viewOf } from "./token.ts";
import type { Role, TokenRecord, TokenView } from "./token.ts";

/** More than this is no longer a list that somebody looks through. */
const MOST_TOKENS = 100;
/** How finely the last use is kept. */
const USE_STEP_MS = 3_600_000;
const ALERT = { alert: "tokens.file", subject: "tokens" } as const;

export interface TokensOptions {
  /** See `tokenFilePath`. */
  readonly path: string;
  readonly clock: Clock;
  /** Default: nobody is told, as on a command line. */
  readonly emit?: Emit | undefined;
}

/** A token to be. */
export interface TokenRequest {
  readonly name: string;
  readonly role: Role;
  /** ms since the epoch; undefined: never. */
  readonly expiresAt?: number | undefined;
  /** Who adds it. */
  readonly by: string;
}

/** What a token turned out to be. `unknown` is also one that was revoked. */
export type TokenVerdict =
  | { readonly ok: true; readonly token: TokenView }
  | { readonly ok: false; readonly reason: "unknown" }
  | { readonly ok: false; readonly reason: "expired"; readonly name: string };

export class Tokens {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #emit: Emit;
  #known: readonly TokenRecord[] = [];
  /** What the file looked like when it was read; undefined: it has to be read. */
  #seen: string | undefined;
  /** Reads and writings go one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  /** The last uses, by hash: what is not written yet, or cannot be. */
  readonly #uses = new Map<string, number>();
  #alerted = false;
  #healthy = false;

  constructor({ path, clock, emit }: TokensOptions) {
    this.#path = path;
    this.#clock = clock;
    this.#emit = emit ?? (() => {});
  }

  /** Reads the file, so that a fault of it is told before somebody asks. Never rejects. */
  async load(): Promise<void> {
    await this.#records().catch(() => undefined);
  }

  /** Resolves when what is being written is written. */
  async settled(): Promise<void> {
    await this.#turn.catch(() => undefined);
  }

  /** In the order of adding. @throws PosternError E_UNAVAILABLE when the file cannot be used */
  async list(): Promise<readonly TokenView[]> {
    return (await this.#records()).map((record) => viewOf({ ...record, lastUsedAt: this.#lastUseOf(record) }));
  }

  /**
   * Makes a token; it is on disk when this resolves.
   *
   * @returns the token itself, for this once
   * @throws PosternError E_USAGE for a name that is none or taken, E_UNAVAILABLE when the file cannot be used
   */
  async add({ name, role, expiresAt, by }: TokenRequest): Promise<{ readonly token: string; readonly view: TokenView }> {
    if (!isTokenName(name)) throw new PosternError("E_USAGE", `name: expected ${TOKEN_NAME_EXPECTED}`);
    const token = makeToken();
    const hash = hashToken(token).toString("hex");
    const record: TokenRecord = { name, role, hash, createdAt: this.#clock.now(), createdBy: by, expiresAt };
    await this.#change((records) => {
      if (records.some((other) => other.name === name))
        throw new PosternError("E_USAGE", `there is a token ${name} already; revoke it first, or take another name`);
      if (records.length >= MOST_TOKENS) throw new PosternError("E_USAGE", `there are ${MOST_TOKENS} tokens already; revoke one first`);
      return [...records, record];
    });
    this.#emit({ type: "token.added", token: name, role, expiresAt, operator: by });
    return { token, view: viewOf(record) };
  }

  /**
   * Takes a token back: from now on it opens nothing.
   *
   * @returns false where there is none of that name
   * @throws PosternError E_UNAVAILABLE when the file cannot be used
   */
  async revoke(name: string, by: string): Promise<boolean> {
    let found = false;
    await this.#change((records) => {
      found = records.some((record) => record.name === name);
      return found ? records.filter((record) => record.name !== name) : undefined;
    });
    if (found) this.#emit({ type: "token.revoked", token: name, operator: by });
    return found;
  }

  /** Whose token this is. @throws PosternError E_UNAVAILABLE when the file cannot be used: then nobody is let in */
  async authenticate(text: string): Promise<TokenVerdict> {
    const records = await this.#records();
    const given = hashToken(text);
    let found: TokenRecord | undefined;
    // All are looked at, each in constant time: how long it takes tells nothing.
    for (const record of records) if (timingSafeEqual(given, Buffer.from(record.hash, "hex"))) found = record;
    if (found === undefined || !isToken(text)) return { ok: false, reason: "unknown" };
    const now = this.#clock.now();
    if (found.expiresAt !== undefined && found.expiresAt <= now) return { ok: false, reason: "expired", name: found.name };
    if (now - (this.#lastUseOf(found) ?? 0) >= USE_STEP_MS) this.#noteUse(found, now);
    return { ok: true, token: viewOf(found) };
  }

  #lastUseOf({ hash, lastUsedAt }: TokenRecord): number | undefined {
    return this.#uses.get(hash) ?? lastUsedAt;
  }

  #noteUse({ hash }: TokenRecord, now: number): void {
    const lastUsedAt = now - (now % USE_STEP_MS);
    if (this.#uses.size >= MOST_TOKENS) this.#uses.clear();
    this.#uses.set(hash, lastUsedAt);
    const written = this.#change((records) => records.map((record) => (record.hash === hash ? { ...record, lastUsedAt } : record)));
    // Where it cannot be written it is known until the next restart, and the next hour tries again; a full disk has an alert of its own.
    written.catch(() => undefined);
  }

  /** What holds now. */
  async #records(): Promise<readonly TokenRecord[]> {
    if (this.#seen !== undefined && (await looksOfTokenFile(this.#path)) === this.#seen) return this.#known;
    return await this.#inTurn(async () => await this.#read());
  }

  async #read(): Promise<readonly TokenRecord[]> {
    // Looked at first: what is written while we read is read again.
    const looks = await looksOfTokenFile(this.#path);
    if (looks === this.#seen) return this.#known;
    this.#seen = undefined;
    try {
      this.#known = (await readTokenFile(this.#path)) ?? [];
    } catch (error) {
      this.#alarm(error);
      throw error;
    }
    this.#seen = looks;
    this.#calm();
    return this.#known;
  }

  /** @param make - what the file is to hold; undefined: it stays as it is */
  async #change(make: (records: readonly TokenRecord[]) => readonly TokenRecord[] | undefined): Promise<void> {
    await this.#inTurn(async () => {
      // What is in the file, not what we remember: a command may have written it.
      const records = make(await this.#read());
      if (records === undefined) return;
      this.#seen = undefined;
      try {
        await writeTokenFile(this.#path, records);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        throw new PosternError("E_UNAVAILABLE", `${this.#path} cannot be written: ${code ?? String(error)}`, { cause: error });
      }
      await this.#read();
    });
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => undefined);
    return await turn;
  }

  #alarm(error: unknown): void {
    this.#healthy = false;
    if (this.#alerted) return;
    this.#alerted = true;
    const text = `the API lets nobody in by token: ${describeError(error)}`;
    const remedy = "Look at the rights of data_dir/deliver; move a damaged file away, and add its tokens anew with postern token add";
    this.#emit({ type: "alert.raised", ...ALERT, text, remedy });
  }

  /** It can be used; said once, since an alert may be open from before a restart. */
  #calm(): void {
    if (this.#healthy) return;
    this.#healthy = true;
    this.#alerted = false;
    this.#emit({ type: "alert.cleared", ...ALERT });
  }
}
