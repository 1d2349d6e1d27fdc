/** `postern queue export ID`: the message as it is stored, which is as it would go out but for what a door changes. */
import { open, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { describeError, PosternError } from "../mail/errors.ts";
import type { GlobalOptions } from "./options.ts";
import { readQueueId } from "./queue-filter.ts";
import { queueSource } from "./queue-source.ts";
import { findPlaces } from "./settings.ts";
import { print, printJson } from "./table.ts";

/**
 * Writes to standard output, or to a new file that only its owner may read: mail may be confidential.
 *
 * @throws PosternError E_NO_SUCH_MESSAGE where there is no such message or no content of it any more, E_USAGE for a file that exists
 */
export async function exportCommand(options: GlobalOptions, id: string, output: string | undefined): Promise<number> {
  const queueId = readQueueId(id);
  const places = await findPlaces(options.config);
  const content = queueSource(places).content(queueId);
  if (output === undefined) {
    if (options.json)
      throw new PosternError("E_USAGE", "queue export: --json needs --output, since the message itself goes to standard output");
    await pipeline(Readable.from(content), process.stdout, { end: false });
    return 0;
  }
  // What is not there must not leave an empty file behind.
  const first = await content.next();
  const file = await open(output, "wx", 0o600).catch((error: unknown) => {
    throw new PosternError("E_USAGE", `queue export: cannot write ${output}: ${describeError(error)}`, { cause: error });
  });
  let octets = 0;
  try {
    for (let row = first; row.done !== true; row = await content.next()) {
      await file.writeFile(row.value);
      octets += row.value.length;
    }
    await file.sync();
  } catch (error) {
    await file.close();
    await rm(output, { force: true });
    throw error;
  }
  await file.close();
  if (options.json) printJson({ queueId, file: output, sizeBytes: octets });
  else print(`${octets} octets written to ${output}`);
  return 0;
}
