/** Signals of an operator or a service manager. */

export interface SignalHandlers {
  /** SIGTERM or SIGINT. `again` from the second on: whoever sends it does not want to wait any longer. */
  stop(signal: "SIGTERM" | "SIGINT", again: boolean): void;
  /** SIGHUP. */
  reload(): void;
}

/** Hands signals to `handlers` until the returned function is called; none of them ends the process by itself meanwhile. */
export function watchSignals(handlers: SignalHandlers): () => void {
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    const again = stopping;
    stopping = true;
    handlers.stop(signal === "SIGINT" ? "SIGINT" : "SIGTERM", again);
  };
  const reload = (): void => handlers.reload();
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  process.on("SIGHUP", reload);
  return () => {
    process.removeListener("SIGTERM", stop);
    process.removeListener("SIGINT", stop);
    process.removeListener("SIGHUP", reload);
  };
}
