import { expect, test } from "vitest";
import { networkFileSystem } from "./disk.ts";

test.each([
  [0x6969, "NFS"],
  [0xff534d42, "CIFS"],
  [-11317950, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x01021997, "9P"],
])("file system %d is %s", (type, name) => {
  expect(networkFileSystem(type)).toBe(name);
});

test.each([0xef53, 0x01021994, 0x58465342, 0x9123683e, 0x794c7630])("local file system %d is accepted", (type) => {
  expect(networkFileSystem(type)).toBeUndefined();
});
