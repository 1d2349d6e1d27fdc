/** Who acts, for history and log. */
import { userInfo } from "node:os";

/** The person behind sudo where there is one, else the login; as declared, since root can claim anything. */
export function operatorName(): string {
  const sudo = process.env["SUDO_USER"];
  return sudo === undefined || sudo === "" ? userInfo().username : sudo;
}
