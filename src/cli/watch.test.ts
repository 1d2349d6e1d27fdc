import { expect, test, vi } from "vitest";
import { PosternError } from "../mail/errors.ts";
import { watch, watchUntilInterrupted } from "./watch.ts";

/** Draws one picture for each look, and ends with the last. */
async function drawn(rows: number, ...looks: (() => Promise<readonly string[]>)[]): Promise<string[]> {
  const writes: string[] = [];
  const left = [...looks];
  const look = (): Promise<readonly string[]> =>
    (left.shift() ?? ((): Promise<string[]> => Promise.reject(new Error("one look too many"))))();
  await watch(look, { rows, write: (text) => void writes.push(text) }, () => Promise.resolve(left.length === 0));
  return writes;
}

test("each picture is drawn over the one before, line by line, and leaves nothing of it", async () => {
  const writes = await drawn(
    24,
    () => Promise.resolve(["waiting 3", "open"]),
    () => Promise.resolve(["waiting 2"]),
  );

  expect(writes.slice(1, -1)).toEqual(["\u001b[Hwaiting 3\u001b[K\nopen\u001b[K\n\u001b[J", "\u001b[Hwaiting 2\u001b[K\n\u001b[J"]);
});

test("a picture higher than the terminal is cut, so that it does not scroll, and says how much is missing", async () => {
  const [, picture] = await drawn(4, () => Promise.resolve(["a", "b", "c", "d"]));
  const [, fitting] = await drawn(4, () => Promise.resolve(["a", "b", "c"]));

  expect(picture).toBe("\u001b[Ha\u001b[K\nb\u001b[K\n… 2 more lines\u001b[K\n\u001b[J");
  expect(fitting).toBe("\u001b[Ha\u001b[K\nb\u001b[K\nc\u001b[K\n\u001b[J");
});

test("a relay that does not answer is said so, and asked again", async () => {
  const [, first, second] = await drawn(
    24,
    () => Promise.reject(new PosternError("E_UNAVAILABLE", "the daemon is not running")),
    () => Promise.resolve(["back"]),
  );

  expect(first).toContain("postern: the daemon is not running");
  expect(second).toContain("back");
});

test.each(["SIGINT", "SIGTERM"] as const)(
  "%s while the relay is asked ends the command at once, and lets the terminal wrap lines again",
  async (signal) => {
    const writes: string[] = [];
    const others: unknown[] = [...process.listeners("SIGINT"), ...process.listeners("SIGTERM")];
    const asked = Promise.withResolvers<void>();
    const exit = vi.spyOn(process, "exit").mockReturnValue(undefined as never);
    const silent = new Promise<string[]>(() => {});
    const look = (): Promise<string[]> => {
      asked.resolve();
      return silent;
    };

    void watchUntilInterrupted(look, { rows: 24, write: (text) => void writes.push(text) });
    await asked.promise;
    for (const listener of process.listeners(signal)) if (!others.includes(listener)) listener(signal);

    expect(exit).toHaveBeenCalledWith(0);
    expect(writes.at(-1)).toBe("\u001b[?7h");
    for (const name of ["SIGINT", "SIGTERM"] as const)
      for (const listener of process.listeners(name)) if (!others.includes(listener)) process.off(name, listener);
    exit.mockRestore();
  },
);
