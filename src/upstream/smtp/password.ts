/** Signing in with a user name and a password. */
import { describeError } from "../../mail/errors.ts";
import { faultAt } from "./fault.ts";
import type { SignIn } from "./opening.ts";

/** A user, and where the password is; read at each use so that a repaired file works without a restart. */
export interface PasswordLogin {
  readonly type: "password";
  readonly username: string;
  readonly password: () => Promise<string>;
  /** Where the password is, for people: `file …`. */
  readonly place?: string | undefined;
  /** From the configuration, ms since the epoch. */
  readonly expiresAt?: number | undefined;
}

/**
 * @param prefers - mechanism to take where several are offered; else the first
 */
export function passwordSignIn({ username: user, password }: PasswordLogin, prefers?: string): SignIn {
  return {
    login: async () => {
      try {
        return { user, password: await password(), prefers };
      } catch (error) {
        return faultAt("auth", "SECRET", describeError(error));
      }
    },
    // The same password again would only bring the account closer to being locked.
    renew: async () => undefined,
  };
}
