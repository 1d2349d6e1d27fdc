/** Runs what was registered, newest first, however the bench ends: done, failed or interrupted. */
export class Cleanup {
  readonly #steps: (() => Promise<unknown> | void)[] = [];
  #running: Promise<void> | undefined;

  /** Also answers Ctrl-C and SIGTERM: cleans up, then exits with 130. */
  static installed(): Cleanup {
    const cleanup = new Cleanup();
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.once(signal, () => void cleanup.run().finally(() => process.exit(130)));
    }
    return cleanup;
  }

  add(step: () => Promise<unknown> | void): void {
    this.#steps.push(step);
  }

  /** Every step is tried; a failed one is printed. Safe to call twice. */
  run(): Promise<void> {
    this.#running ??= this.#runSteps();
    return this.#running;
  }

  async #runSteps(): Promise<void> {
    for (const step of this.#steps.toReversed()) {
      try {
        await step();
      } catch (error) {
        console.error(`clean-up: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
}
