/** Places of a kind for each device; who finds none waits for one, first come first served. */
export class Turns {
  readonly #taken = new Map<string, number>();
  readonly #waiting = new Map<string, (() => void)[]>();

  /**
   * Calls `start` as soon as a place is free, at once if there is one.
   *
   * @returns gives the place back, or leaves the line; once
   */
  enter(device: string, places: number, start: () => void): () => void {
    let state: "waiting" | "in" | "out" = "waiting";
    const admit = (): void => {
      state = "in";
      this.#taken.set(device, (this.#taken.get(device) ?? 0) + 1);
      start();
    };
    const leave = (): void => {
      if (state === "in") this.#left(device);
      else if (state === "waiting") this.#gaveUp(device, admit);
      state = "out";
    };
    if ((this.#taken.get(device) ?? 0) < places) admit();
    else {
      const line = this.#waiting.get(device);
      if (line === undefined) this.#waiting.set(device, [admit]);
      else line.push(admit);
    }
    return leave;
  }

  #left(device: string): void {
    const left = (this.#taken.get(device) ?? 1) - 1;
    if (left > 0) this.#taken.set(device, left);
    else this.#taken.delete(device);
    const line = this.#waiting.get(device);
    const next = line?.shift();
    if (line?.length === 0) this.#waiting.delete(device);
    next?.();
  }

  #gaveUp(device: string, admit: () => void): void {
    const line = this.#waiting.get(device)?.filter((other) => other !== admit) ?? [];
    if (line.length > 0) this.#waiting.set(device, line);
    else this.#waiting.delete(device);
  }
}
