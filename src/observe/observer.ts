/** The observer: takes every event of the process and writes the log line and the metrics that events.ts defines for it. */
import type { Emit, PosternEvent } from "../mail/events.ts";
import { describeError } from "../mail/errors.ts";
import type { Clock } from "../platform/clock.ts";
import type { EventDefinition } from "./events.ts";
import { EVENTS } from "./events.ts";
import type { Log, LogLevel, LogOptions } from "./log.ts";
import { openLog } from "./log.ts";
import type { GaugeSnapshot } from "./metrics.ts";
import { Metrics } from "./metrics.ts";
import { Repetition } from "./repetition.ts";

export interface ObserverOptions {
  readonly log: LogOptions;
  readonly clock: Clock;
}

export interface Observer {
  /** Never throws, never waits. */
  readonly emit: Emit;
  /** Names what the gauges are read from at each scrape. Until then, and while it rejects, they are absent and `postern_ready` is 0. */
  watch(source: () => Promise<GaugeSnapshot>): void;
  /** A reload's settings. */
  update(settings: { readonly level: LogLevel }): void;
  /** All metrics in Prometheus' text format 0.0.4. */
  metricsText(): Promise<string>;
  /** Logs what is about to end the process, as `daemon.crashed` with its stack, and writes it out before it returns. */
  fatal(error: unknown): void;
  /** Writes out buffered lines before it returns; also done when the process exits. */
  flush(): void;
  /** Flushes and closes the log; events after that are lost. */
  close(): void;
}

/** Starts observing: opens the log and the registry of metrics. */
export function createObserver(options: ObserverOptions): Observer {
  const log = openLog(options.log, options.clock);
  const metrics = new Metrics();
  const repetition = new Repetition();
  let source: (() => Promise<GaugeSnapshot>) | undefined;
  const flush = (): void => log.flush();
  process.on("exit", flush);
  return {
    emit: (event) => observe(event, { log, metrics, repetition, clock: options.clock }),
    watch: (gauges) => {
      source = gauges;
    },
    update: ({ level }) => log.setLevel(level),
    metricsText: async () => {
      let snapshot: GaugeSnapshot | undefined;
      try {
        snapshot = await source?.();
      } catch (error) {
        log.write("error", "observe.failed", { what: "metrics", cause: describeError(error) });
      }
      metrics.setGauges(snapshot, options.clock.now());
      return metrics.text();
    },
    fatal: (error) => {
      log.write("fatal", "daemon.crashed", { cause: describeError(error), stack: error instanceof Error ? error.stack : undefined });
      log.flush();
    },
    flush,
    close: () => {
      process.removeListener("exit", flush);
      log.close();
    },
  };
}

/** What events are written to and counted in. */
interface Books {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly repetition: Repetition;
  readonly clock: Clock;
}

function observe(event: PosternEvent, { log, metrics, repetition, clock }: Books): void {
  try {
    // The table is exhaustive and each entry fits its own event; that the two agree here is beyond what the type system follows.
    const definition = EVENTS[event.type] as EventDefinition<PosternEvent>;
    definition.count?.(event, metrics);
    const level = typeof definition.level === "function" ? definition.level(event) : definition.level;
    if (level === "none" || !log.enabled(level)) return;
    const leftOut = definition.kind === undefined ? 0 : repetition.admit(definition.kind(event), clock.monotonic());
    if (leftOut === undefined) return;
    const fields = definition.fields === undefined ? withoutType(event) : definition.fields(event);
    log.write(level, event.type, leftOut === 0 ? fields : { ...fields, leftOut });
  } catch (error) {
    log.write("error", "observe.failed", { what: event.type, cause: describeError(error) });
  }
}

function withoutType(event: PosternEvent): Record<string, unknown> {
  const { type: _, ...fields } = event;
  return fields;
}
