/** What is wrong with a request. */

type FaultStatus = 400 | 403 | 404 | 413 | 415 | 422 | 503;

/** A request that cannot be understood or done. `status` is the HTTP status it is answered with. */
export class RequestFault extends Error {
  readonly status: FaultStatus;
  readonly code: string;
  /** Further values of the answer. */
  readonly more: Readonly<Record<string, unknown>>;

  constructor(status: FaultStatus, code: string, message: string, more: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.more = more;
  }
}
