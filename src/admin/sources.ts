/** What the API looks at and acts on, as the daemon hands it over. Names of operators (`by`) are as declared, or those of a token. */
import type { TokenView } from "../access/token.ts";
import type { TokenRequest } from "../access/tokens.ts";
import type { AllowedDevice } from "../devices/admissions.ts";
import type { Device } from "../devices/device.ts";
import type { DoctorSource } from "../doctor/finding.ts";
import type { Emit } from "../mail/events.ts";
import type { Transcript } from "../mail/transcript.ts";
import type { OpenAlert, WayTested } from "../observe/alerts/alert.ts";
import type { Clock } from "../platform/clock.ts";
import type { VersionView } from "../platform/version.ts";
import type { ActResult, OperatorAct, QueueReader } from "../queue/queue.ts";
import type { EventFeed } from "./event-feed.ts";
import type { TokenSource } from "./guard.ts";
import type { Readiness, StatusView } from "./views.ts";

/** Who acts. */
export interface Operator {
  readonly name: string;
  /** The name is the command's word, from sudo or the login; that of a token is proved. */
  readonly declared: boolean;
}

/** The devices. Every act is durable when it resolves. */
export interface DeviceSource {
  /** The latest seen first. */
  list(): readonly Device[];
  get(address: string): Device | undefined;
  /** What operators let in. */
  allowed(): readonly AllowedDevice[];
  /** @throws PosternError E_USAGE for what is no address or no client */
  allow(address: string, client: string, by: string): Promise<AllowedDevice>;
  /** @returns false when nothing was known */
  forget(address: string, by: string): Promise<boolean>;
}

/** A test mail that is asked for. */
export interface TestRequest {
  readonly to: string;
  /** undefined: `organization.default_sender`. */
  readonly from: string | undefined;
  /** The one upstream it may leave by; undefined: as the routes say. */
  readonly upstream: string | undefined;
  readonly by: Operator;
}

/** A test mail that is in the queue. */
export interface TestSent {
  readonly queueId: string;
  /** ms since the epoch. */
  readonly acceptedAt: number;
  readonly from: string;
  readonly to: string;
  readonly sizeBytes: number;
  /** The route that it takes; where an upstream was asked for, that is said instead of a name. */
  readonly route: string;
  /** That route's upstreams in order, and why one cannot take the mail. */
  readonly doors: readonly { readonly name: string; readonly misfit: string | undefined }[];
}

export interface TestSource {
  /**
   * Puts a test mail into the queue, durably, and has the doors it may leave by tried, closed ones too.
   *
   * @throws PosternError E_USAGE for an address or an upstream that cannot be, E_SPOOL_* when the queue takes nothing
   */
  send(request: TestRequest): Promise<TestSent>;
}

/** What came of a reload. */
export type ReloadAnswer =
  | { readonly ok: true; readonly changed: readonly string[]; readonly restart: readonly string[]; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly faults: readonly string[] };

export interface ReloadSource {
  reload(by: string): Promise<ReloadAnswer>;
}

export interface AlertSource {
  /** What is open, the oldest first. */
  list(): readonly OpenAlert[];
  /** Sends a notice that means nothing by every way that is configured, now, and says of each whether it was taken. */
  test(by: string): Promise<readonly WayTested[]>;
}

/** The answer to a test. */
export interface AlertTestAnswer {
  readonly ways: readonly WayTested[];
}

export interface TranscriptSource {
  /** All of the message that are kept, the oldest first, and the last probe of each upstream named. */
  read(queueId: string, upstreams: readonly string[]): Promise<readonly Transcript[]>;
}

/** The tokens of the API. Every act is durable when it resolves. */
export interface TokenBook extends TokenSource {
  /** In the order of adding. */
  list(): Promise<readonly TokenView[]>;
  /** @throws PosternError E_USAGE for a name that is none or taken */
  add(request: TokenRequest): Promise<{ readonly token: string; readonly view: TokenView }>;
  /** @returns false where there is none of that name */
  revoke(name: string, by: string): Promise<boolean>;
}

export interface AdminSources {
  readonly queue: Pick<QueueReader, "list" | "show" | "find" | "contentRow"> & { act(act: OperatorAct): Promise<ActResult> };
  readonly devices: DeviceSource;
  readonly tests: TestSource;
  readonly doctor: DoctorSource;
  readonly alerts: AlertSource;
  readonly reloads: ReloadSource;
  readonly transcripts: TranscriptSource;
  readonly tokens: TokenBook;
  readonly events: EventFeed;
  status(): Promise<StatusView>;
  ready(): Readiness;
  metricsText(): Promise<string>;
  /** Whether subjects may be shown to everybody: `log.subjects`. */
  subjectsShown(): boolean;
  readonly version: VersionView;
  readonly clock: Clock;
  readonly emit: Emit;
}
