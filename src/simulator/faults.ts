/** Every fault that can be switched on, with the words Microsoft uses for it, and the book of those that are on. */
import { FAULTS } from "./fault-table.ts";
import type { FaultDefinition, FaultHost, FaultStage } from "./fault-model.ts";

/** Where a fault applies; absent parts apply to all. */
export interface FaultScope {
  /** So many times, then it is over; undefined: until cleared. */
  readonly count?: number | undefined;
  /** Only on this host; undefined: on all that the fault is known on. */
  readonly host?: FaultHost | undefined;
  /** Only sessions signed in as this mailbox. Faults before AUTH know no mailbox and then do not match. */
  readonly mailbox?: string | undefined;
  /** Only for this recipient (stages rcpt and later). */
  readonly recipient?: string | undefined;
}

/** A fault that is on. */
export interface ActiveFault {
  readonly id: string;
  readonly definition: FaultDefinition;
  readonly scope: FaultScope;
  /** How often it applied. */
  readonly applied: number;
  /** Times left; undefined: until cleared. */
  readonly remaining: number | undefined;
  /** Resolves when it has applied `times` times: for tests that hold a reply and want to know that it is held. */
  reached(times: number): Promise<void>;
  /** Resolves when it is cleared: what a held reply waits for. */
  readonly cleared: Promise<void>;
  /** Switches it off, which lets go what it holds. */
  clear(): void;
}

/** What a service knows when it asks whether a fault applies. */
export interface FaultSubject {
  readonly host: FaultHost;
  readonly mailbox?: string | undefined;
  readonly recipients?: readonly string[] | undefined;
  /** Recipients of the transaction accepted so far; 0 when left out. */
  readonly accepted?: number | undefined;
}

/** A name that no fault has. */
export class UnknownFault extends Error {}

/** The fault of this name in the table. */
export function faultNamed(name: string): FaultDefinition | undefined {
  return FAULTS.find((fault) => fault.name === name);
}

class SwitchedFault implements ActiveFault {
  readonly id: string;
  readonly definition: FaultDefinition;
  readonly scope: FaultScope;
  readonly cleared: Promise<void>;
  applied = 0;
  #waiting: { times: number; resolve: () => void }[] = [];
  #letGo: () => void;
  #book: FaultBook;

  constructor(id: string, definition: FaultDefinition, scope: FaultScope, book: FaultBook) {
    this.id = id;
    this.definition = definition;
    this.scope = scope;
    this.#book = book;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.cleared = promise;
    this.#letGo = resolve;
  }

  get remaining(): number | undefined {
    return this.scope.count === undefined ? undefined : this.scope.count - this.applied;
  }

  apply(): void {
    this.applied += 1;
    for (const waiter of this.#waiting) if (waiter.times <= this.applied) waiter.resolve();
    this.#waiting = this.#waiting.filter((waiter) => waiter.times > this.applied);
  }

  reached(times: number): Promise<void> {
    if (times <= this.applied) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ times, resolve }));
  }

  letGo(): void {
    this.#letGo();
  }

  clear(): void {
    this.#book.clear(this.id);
  }
}

/** The faults that are on. */
export class FaultBook {
  #active = new Map<string, SwitchedFault>();
  #used: SwitchedFault[] = [];
  #nextId = 1;

  /**
   * Switches a fault on. A later one of the same stage waits until the earlier is used up.
   *
   * @throws UnknownFault when the table has no such name
   */
  set(name: string, scope: FaultScope = {}): ActiveFault {
    const definition = faultNamed(name);
    if (definition === undefined) throw new UnknownFault(`no fault is called ${JSON.stringify(name)}`);
    const fault = new SwitchedFault(String(this.#nextId++), definition, scope, this);
    this.#active.set(fault.id, fault);
    return fault;
  }

  /** Switches one fault off, or all of them; what they held goes on. */
  clear(id?: string): boolean {
    const chosen = [...this.#active.values(), ...this.#used].filter((fault) => id === undefined || fault.id === id);
    for (const fault of chosen) {
      this.#active.delete(fault.id);
      fault.letGo();
    }
    this.#used = this.#used.filter((fault) => !chosen.includes(fault));
    return chosen.length > 0;
  }

  /** What is on, oldest first. A used-up fault that still holds replies is among them. */
  active(): ActiveFault[] {
    return [...this.#used, ...this.#active.values()];
  }

  /** Whether this local part triggers a fault: such a recipient exists in every domain. */
  isSpecial(address: string): boolean {
    return FAULTS.some(({ recipient }) => recipient !== undefined && hasLocalPart([address], recipient));
  }

  /** The fault that applies at this stage, counted as used; special recipients come after switched faults. */
  take(stage: FaultStage, subject: FaultSubject): ActiveFault | undefined {
    for (const fault of this.#active.values()) {
      if (!belongsTo(fault.definition, stage, subject) || !matches(fault.scope, subject)) continue;
      fault.apply();
      if (fault.remaining === 0) {
        this.#active.delete(fault.id);
        // A hold goes on holding after its last use, until somebody lets go.
        if (fault.definition.action.kind === "hold") this.#used.push(fault);
      }
      return fault;
    }
    const special = FAULTS.find(
      (fault) => belongsTo(fault, stage, subject) && fault.recipient !== undefined && hasLocalPart(subject.recipients, fault.recipient),
    );
    if (special === undefined) return undefined;
    const once = new SwitchedFault(`recipient:${special.name}`, special, { count: 1 }, this);
    once.apply();
    return once;
  }
}

function belongsTo(fault: FaultDefinition, stage: FaultStage, { host, accepted = 0 }: FaultSubject): boolean {
  return fault.stage === stage && fault.hosts.includes(host) && (fault.afterFirst !== true || accepted > 0);
}

function matches(scope: FaultScope, subject: FaultSubject): boolean {
  if (scope.host !== undefined && scope.host !== subject.host) return false;
  if (scope.mailbox !== undefined && scope.mailbox.toLowerCase() !== subject.mailbox?.toLowerCase()) return false;
  if (scope.recipient === undefined) return true;
  const wanted = scope.recipient.toLowerCase();
  return subject.recipients?.some((recipient) => recipient.toLowerCase() === wanted) === true;
}

function hasLocalPart(recipients: readonly string[] | undefined, local: string): boolean {
  return recipients?.some((recipient) => recipient.slice(0, recipient.lastIndexOf("@")).toLowerCase() === local) === true;
}
