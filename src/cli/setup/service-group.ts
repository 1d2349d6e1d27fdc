/**
 * Who reads what root sets up. The service that systemd starts is not root: its files in /etc are root's, and its group may read them, but change
 * none. postern.sysusers.conf makes user and group.
 */
import { execFile } from "node:child_process";
import { chmod, chown } from "node:fs/promises";
import { promisify } from "node:util";

/** As in postern.sysusers.conf and postern.service. */
export const SERVICE_GROUP = "postern";

/** `none`: nobody but the one who sets up is to read it, who is not root. `missing`: root sets up, and the group is not there yet. */
export type ServiceGroup = number | "missing" | "none";

export async function findServiceGroup(): Promise<ServiceGroup> {
  if (process.getuid?.() !== 0) return "none";
  try {
    const { stdout } = await promisify(execFile)("getent", ["group", SERVICE_GROUP]);
    const gid = Number(stdout.split(":")[2]);
    return Number.isInteger(gid) ? gid : "missing";
  } catch {
    return "missing";
  }
}

/** Makes a file or folder that is there readable for the group, where there is one. The owner stays. */
export async function giveToGroup(group: ServiceGroup, path: string, mode: number): Promise<void> {
  if (typeof group !== "number") return;
  await chown(path, -1, group);
  await chmod(path, mode);
}
