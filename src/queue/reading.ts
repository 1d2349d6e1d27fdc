/** The main thread's end of the conversation with the thread for looking. */
import { Worker } from "node:worker_threads";
import { describeError, PosternError } from "../mail/errors.ts";
import type { Clock } from "../platform/clock.ts";
import { entryPoint } from "../platform/place.ts";
import type { Question, Reading } from "./reader-worker.ts";

type Waiting = { readonly resolve: (answer: unknown) => void; readonly reject: (error: Error) => void };

/** How long the thread is kept without questions: it holds some 14 MB, and starts again in 50 ms. */
const IDLE_MS = 30_000;

/** Starts its thread with the first question, and ends it when none comes any more; the next one starts it again. */
export class ReadingLink {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #ended: Promise<void> | undefined;
  #nextId = 1;
  #closed = false;
  #cancelIdle: (() => void) | undefined;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  /** Asks; the caller knows the type of the answer to its question. */
  ask<T>(question: Question): Promise<T> {
    if (this.#closed) return Promise.reject(new PosternError("E_UNAVAILABLE", "the queue is closed"));
    this.#cancelIdle?.();
    this.#worker ??= this.#start();
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (answer: unknown) => void, reject });
      this.#worker?.postMessage({ id, question });
    });
  }

  #start(): Worker {
    const worker = new Worker(entryPoint("queue/reader-worker"), { workerData: { path: this.#path }, name: "postern-reader" });
    this.#ended = new Promise((resolve) => {
      worker.on("message", (reading: Reading) => {
        const waiting = this.#waiting.get(reading.id);
        this.#waiting.delete(reading.id);
        if ("fault" in reading) {
          const code = reading.isDamaged ? "E_SPOOL_DAMAGED" : "E_UNAVAILABLE";
          waiting?.reject(new PosternError(code, `the queue could not be read: ${reading.fault}`));
        } else waiting?.resolve(reading.answer);
        if (this.#waiting.size === 0 && this.#worker === worker) this.#cancelIdle = this.#clock.after(IDLE_MS, () => this.#rest());
      });
      worker.on("error", (error) => this.#lost(worker, describeError(error)));
      worker.on("exit", () => {
        this.#lost(worker, "the reading thread ended");
        resolve();
      });
    });
    return worker;
  }

  #rest(): void {
    this.#worker?.postMessage("close");
    this.#worker = undefined;
  }

  #lost(worker: Worker, why: string): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(new PosternError("E_UNAVAILABLE", `the queue could not be read: ${why}`));
    this.#waiting.clear();
  }

  /** Ends the thread after the questions under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelIdle?.();
    this.#worker?.postMessage("close");
    await this.#ended;
  }
}
