import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp-dir.ts";
import { reserveOf, Room } from "./room.ts";

const QUOTA_USED_UP = { code: "Unknown system error -122", errno: -122 };
const REFUSED_PAGE = { errcode: 778 };
const REFUSED_INDEX = { errcode: 4874 };
const FAILED_SYNC = { errcode: 1034 };
const FAILED_READ = { errcode: 266 };

function roomWhereWriting(fault: object | undefined): Room {
  return new Room("/var/lib/postern/queue/queue.db", () => {
    if (fault !== undefined) throw Object.assign(new Error("no"), fault);
  });
}

test.each([
  ["a full disk", { errcode: 13 }, undefined],
  ["a page refused over a quota", REFUSED_PAGE, QUOTA_USED_UP],
  ["the log's index refused over a quota", REFUSED_INDEX, QUOTA_USED_UP],
  ["the log's index refused on a full disk", REFUSED_INDEX, { code: "ENOSPC" }],
])("%s is want of room", (_what, fault, written) => {
  expect(roomWhereWriting(written).ranOut(fault)).toBe(true);
});

test.each([
  ["a page refused by a disk that has room", REFUSED_PAGE, undefined],
  ["a page refused by a broken disk", REFUSED_PAGE, { code: "EIO" }],
  ["a page refused by a disk that became read-only", REFUSED_PAGE, { code: "EROFS" }],
  ["a sync that failed, even over a quota", FAILED_SYNC, QUOTA_USED_UP],
  ["a read that failed", FAILED_READ, QUOTA_USED_UP],
  ["a bug", new TypeError("no"), QUOTA_USED_UP],
])("%s is not", (_what, fault, written) => {
  expect(roomWhereWriting(written).ranOut(fault)).toBe(false);
});

test("a look at the file system leaves nothing behind, and the reserve is given up once", async () => {
  await using folder = await tempDir();
  const path = join(folder.path, "queue.db");
  writeFileSync(reserveOf(path), "x");
  const room = new Room(path);

  expect(room.ranOut(REFUSED_PAGE)).toBe(false);
  expect(existsSync(join(folder.path, "trial"))).toBe(false);
  expect([room.giveUpReserve(), room.giveUpReserve()]).toEqual([true, false]);
});
