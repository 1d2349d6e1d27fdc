/** What asks a process to end: an operator, a service manager, or the end of the process that started it. */

/** Why to stop: a signal, or that the launcher, which a service manager knows as this process, was killed. */
export type StopReason = "SIGTERM" | "SIGINT" | "launcher killed";

export interface SignalHandlers {
  /** SIGTERM, SIGINT, or the launcher is gone. `again` from the second on: whoever sends it does not want to wait any longer. */
  stop(reason: StopReason, again: boolean): void;
  /** SIGHUP. */
  reload(): void;
}

/**
 * Hands signals to `handlers` until the returned function is called; none of them ends the process by itself meanwhile.
 *
 * Nobody can pass SIGKILL on. Where bin/postern had to start another Node, killing what looks like the relay would leave the relay running, with its queue
 * locked against the next one; so that launcher keeps a channel open (POSTERN_LAUNCHED), whose end tells of its own.
 */
export function watchSignals(handlers: SignalHandlers): () => void {
  let stopping = false;
  const stop = (reason: StopReason): void => {
    const again = stopping;
    stopping = true;
    handlers.stop(reason, again);
  };
  const terminate = (): void => stop("SIGTERM");
  const interrupt = (): void => stop("SIGINT");
  const orphaned = (): void => stop("launcher killed");
  const reload = (): void => handlers.reload();
  const launched = process.env["POSTERN_LAUNCHED"] === "1" && process.channel !== undefined;
  process.on("SIGTERM", terminate);
  process.on("SIGINT", interrupt);
  process.on("SIGHUP", reload);
  if (launched) {
    process.on("disconnect", orphaned);
    // A listener alone would keep the process running.
    process.channel?.unref();
  }
  return () => {
    process.removeListener("SIGTERM", terminate);
    process.removeListener("SIGINT", interrupt);
    process.removeListener("SIGHUP", reload);
    process.removeListener("disconnect", orphaned);
  };
}
