/** Commands that must not be lost: what finds no room on the disk is kept in memory and sent again until it is written. */
import type { PosternError } from "../mail/errors.ts";
import type { Clock } from "../platform/clock.ts";
import type { Done } from "./link.ts";
import type { Command } from "./protocol.ts";

/** What found no room is sent again after this. */
const AGAIN_AFTER_MS = 1_000;

/** The answer to a command whose place another one took before it was written. */
export const SUPERSEDED = Symbol("superseded");

/** Where commands go: the link. */
export interface CommandPost {
  post(command: Command, done: Done, patient: boolean): void;
  readonly fault: PosternError | undefined;
}

export interface PostOptions {
  /** See `WorkerLink.post`. */
  readonly patient?: boolean | undefined;
  /** False when another command took its place while it was kept: it is answered with SUPERSEDED then. */
  readonly isWanted?: (() => boolean) | undefined;
}

export class KeptCommands {
  readonly #link: CommandPost;
  readonly #clock: Clock;
  readonly #ranOut: () => void;
  #kept: (() => void)[] = [];
  #cancel: (() => void) | undefined;
  #ended = false;

  /** @param ranOut - called each time a command finds no room */
  constructor(link: CommandPost, clock: Clock, ranOut: () => void) {
    this.#link = link;
    this.#clock = clock;
    this.#ranOut = ranOut;
  }

  /** Like `post` of the link, but that `done` never hears of a full disk before the end. */
  post(command: Command, done: Done, options: PostOptions = {}): void {
    const { patient = false, isWanted } = options;
    this.#link.post(
      command,
      (answer, fault) => {
        if (fault?.code !== "E_SPOOL_FULL" || this.#link.fault !== undefined || this.#ended) {
          done(answer, fault);
          return;
        }
        this.#ranOut();
        this.#kept.push(() => (isWanted?.() === false ? done(SUPERSEDED, undefined) : this.post(command, done, options)));
        this.#cancel ??= this.#clock.after(AGAIN_AFTER_MS, () => this.#sendAll());
      },
      patient,
    );
  }

  /** Sends such a command and waits for its answer. */
  ask<T>(command: Command): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.post(command, (answer, fault) => {
        if (fault === undefined) resolve(answer as T);
        else reject(fault);
      });
    });
  }

  /** Sends what is kept once more; what finds no room now is answered with that. */
  end(): void {
    this.#ended = true;
    this.#sendAll();
  }

  #sendAll(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    for (const send of this.#kept.splice(0)) send();
  }
}
