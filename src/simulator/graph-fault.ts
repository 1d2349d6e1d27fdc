/** A refusal of Microsoft Graph: HTTP status, error code, words. */
import { fillIn } from "./refusal.ts";
import { faultNamed } from "./faults.ts";

/** Thrown while a request is worked on; becomes `{"error":{"code","message",…}}`. */
export class GraphFault extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** The refusal a fault of the table stands for, with its `{name}` places filled in. */
export function graphFault(name: string, values: Readonly<Record<string, string>> = {}): GraphFault {
  const action = faultNamed(name)?.action;
  if (action?.kind !== "graph") throw new Error(`the fault ${name} is no answer of Graph`);
  const headers = action.retryAfter === undefined ? {} : { [action.retryAfter.name]: action.retryAfter.value };
  return new GraphFault(action.status, action.code, fillIn(action.text, values), headers);
}

/** What OData says to a request it cannot read. */
export function badRequest(message: string, code = "BadRequest"): GraphFault {
  return new GraphFault(400, code, message);
}
