/** Reading of a request's body: JSON of bounded size. */
import { RequestFault } from "./fault.ts";

const MOST_BODY_BYTES = 1024 * 1024;

/** Reads a JSON object of at most 1 MiB. Only what says that it is JSON: a form on somebody's page cannot say so without being asked first. */
export async function readJsonObject(request: Request): Promise<Record<string, unknown>> {
  if (!/^application\/json\b/i.test(request.headers.get("content-type") ?? "")) {
    throw new RequestFault(415, "content_type", "expected Content-Type application/json");
  }
  const tooLarge = new RequestFault(413, "too_large", `a body may have at most ${MOST_BODY_BYTES} octets`);
  if (Number(request.headers.get("content-length") ?? 0) > MOST_BODY_BYTES) throw tooLarge;
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of request.body ?? []) {
    length += part.byteLength;
    if (length > MOST_BODY_BYTES) throw tooLarge;
    parts.push(part);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(parts).toString("utf8"));
  } catch {
    throw new RequestFault(400, "not_json", "the body is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new RequestFault(400, "not_json", "expected a JSON object");
  return { ...value };
}
