import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp-dir.ts";
import { openControlClient } from "./control-client.ts";

test.each([
  ["before its head", ""],
  ["in its head", "HTTP/1.1 200 OK\r\ncontent-type: appl"],
  ["in the middle", 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"entries": ['],
])("an answer that ends %s, as where the daemon is killed, is a fault that passes", async (_, text) => {
  await using folder = await tempDir();
  const path = join(folder.path, "control.sock");
  const server = createServer((socket) => socket.once("data", () => socket.end(text))).listen(path);
  await once(server, "listening");

  const asked = openControlClient(path).get("/api/v1/queue");

  await expect(asked).rejects.toMatchObject({ code: "E_TEMPORARY", message: expect.stringMatching(/^the daemon's answer was cut off/) });
  server.close();
});
