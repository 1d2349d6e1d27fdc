/** Reads secrets from where the configuration says they are, each time they are needed: a renewed secret works without a restart. */
import { isAbsolute, join } from "node:path";
import { PosternError } from "../mail/errors.ts";
import type { SecretRef } from "./config.ts";
import { readBounded, readFault } from "./read-file.ts";

/** Longer than any password, key or token that is handed out. */
export const MAX_SECRET_OCTETS = 64 * 1024;

/** How messages name a reference; never the secret. */
export function describeSecret(reference: SecretRef): string {
  if ("file" in reference) return `file ${reference.file}`;
  if ("env" in reference) return `environment variable ${reference.env}`;
  return `systemd credential ${reference.credential}`;
}

/**
 * Gives a function that reads the secret anew at each call and drops one line end after it.
 *
 * The function rejects with PosternError E_SECRET, which names the reference, when the secret is missing, unreadable, empty, not UTF-8 or over 64 KiB.
 *
 * @param reference - with an absolute path, as `loadConfig` gives it
 * @param env - where variables and `CREDENTIALS_DIRECTORY` are looked up
 */
export function secretReader(reference: SecretRef, env: NodeJS.ProcessEnv = process.env): () => Promise<string> {
  return async () => {
    const text =
      "env" in reference ? (env[reference.env] ?? fail(reference, "is not set")) : await readSecretFile(reference, pathOf(reference, env));
    const secret = text.replace(/\r?\n$/, "");
    if (secret === "") fail(reference, "is empty");
    return secret;
  };
}

/** Where the secret is as a file; undefined where it is none, or systemd passed no credentials to this process. */
export function secretPath(reference: SecretRef, env: NodeJS.ProcessEnv = process.env): string | undefined {
  if ("file" in reference) return reference.file;
  const directory = env["CREDENTIALS_DIRECTORY"];
  if ("env" in reference || directory === undefined || !isAbsolute(directory)) return undefined;
  return join(directory, reference.credential);
}

function pathOf(reference: SecretRef, env: NodeJS.ProcessEnv): string {
  return secretPath(reference, env) ?? fail(reference, "is not here: $CREDENTIALS_DIRECTORY is not set, so systemd passed no credentials");
}

async function readSecretFile(reference: SecretRef, path: string): Promise<string> {
  let octets: Buffer;
  try {
    octets = await readBounded(path, MAX_SECRET_OCTETS);
  } catch (error) {
    return fail(reference, readFault(error), error);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(octets);
  } catch {
    // No cause: nothing that was made from the content may travel on.
    return fail(reference, "is not UTF-8 text");
  }
}

function fail(reference: SecretRef, what: string, cause?: unknown): never {
  throw new PosternError("E_SECRET", `${describeSecret(reference)} ${what}`, cause === undefined ? {} : { cause });
}
