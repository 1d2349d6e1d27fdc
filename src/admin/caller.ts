/** Who asks the API. */
import type { Role } from "../access/token.ts";

/** Whoever opened the control socket, or showed a token. */
export interface Caller {
  readonly role: Role;
  /** The token that was shown; undefined on the control socket, whose operators say themselves who they are. */
  readonly token: { readonly name: string; readonly expiresAt?: number | undefined } | undefined;
  readonly address: string;
  /** Whether the token is still good: for what goes on for long after it was shown. */
  readonly holds: () => Promise<boolean>;
}

/** On the control socket: only its owner and root can open it, and they may do everything. */
export const AT_THE_SOCKET: Caller = {
  role: "administrator",
  token: undefined,
  address: "control socket",
  holds: () => Promise.resolve(true),
};
