/** Who acts, for history and log. */
import { userInfo } from "node:os";

/**
 * The person behind sudo where there is one, else the login; as declared, since root can claim anything.
 *
 * @param login - throws for a user without an entry in passwd, as containers have them; another one for tests
 */
export function operatorName(login: () => string = () => userInfo().username): string {
  const sudo = process.env["SUDO_USER"];
  if (sudo !== undefined && sudo !== "") return sudo;
  try {
    return login();
  } catch {
    return `uid ${process.getuid?.()}`;
  }
}
