/** A book of devices that knows nobody. */
import type { DeviceSource } from "../../src/admin/sources.ts";
import { PosternError } from "../../src/mail/errors.ts";

export const NO_DEVICES: DeviceSource = {
  list: () => [],
  get: () => undefined,
  allowed: () => [],
  allow: () => Promise.reject(new PosternError("E_USAGE", "no client here")),
  forget: () => Promise.resolve(false),
};
