/** Where a person's sign-in is kept: encrypted, whole after a crash, readable for nobody but the service. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { chown, link, mkdir, readFile, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { syncDirectory, writeFileAtomic } from "../../platform/files.ts";

/** What a sign-in left behind. */
export interface SignIn {
  /** The newest one: each use may bring another. */
  readonly refreshToken: string;
  /** Who signed in, as Entra names them; empty where it does not. */
  readonly account: string;
  /** What it was given for; of no use for another application. */
  readonly clientId: string;
  readonly authority: string;
  /** When the refresh token was given or last used, ms since the epoch. */
  readonly usedAt: number;
}

/** Keeps the sign-in of one upstream. */
export interface SignInStore {
  /** undefined where nobody has signed in. @throws Error when there is one that cannot be read */
  read(): Promise<SignIn | undefined>;
  write(signIn: SignIn): Promise<void>;
}

const KEY_FILE = "sign-in.key";
const KEY_OCTETS = 32;
const FORM = Buffer.from("POSTERN-SIGN-IN-1\n");
const IV_OCTETS = 12;
const TAG_OCTETS = 16;

/**
 * Keeps it in `DIRECTORY/NAME.sign-in`, AES-256-GCM under the key in `DIRECTORY/sign-in.key` (0600, made with the first sign-in). The key
 * beside it does not help against who can read the folder; it does against copies of single files, and their pieces in logs and backups.
 *
 * @param directory - `<data_dir>/deliver`; made where it is not there
 * @param name - the upstream's; part of what is authenticated, so that files cannot be swapped
 */
export function signInStore(directory: string, name: string): SignInStore {
  const file = join(directory, `${name}.sign-in`);
  return {
    read: async () => {
      const sealed = await readOr(file);
      if (sealed === undefined) return undefined;
      const key = await readOr(join(directory, KEY_FILE));
      const opened = key === undefined ? undefined : open(sealed, key, name);
      if (opened === undefined) throw new Error(`${file} cannot be opened with ${KEY_FILE}`);
      return opened;
    },
    write: async (signIn) => {
      const owner = await prepare(directory);
      const key = await keyIn(directory, owner);
      await writeFileAtomic(file, seal(signIn, key, name));
      await owner.give(file);
    },
  };
}

function seal(signIn: SignIn, key: Uint8Array, name: string): Buffer {
  const iv = randomBytes(IV_OCTETS);
  const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(name));
  const text = Buffer.concat([cipher.update(JSON.stringify(signIn), "utf8"), cipher.final()]);
  return Buffer.concat([FORM, iv, cipher.getAuthTag(), text]);
}

function open(sealed: Buffer, key: Buffer, name: string): SignIn | undefined {
  const rest = sealed.subarray(FORM.length);
  if (!sealed.subarray(0, FORM.length).equals(FORM) || key.length !== KEY_OCTETS || rest.length < IV_OCTETS + TAG_OCTETS) return undefined;
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, rest.subarray(0, IV_OCTETS), { authTagLength: TAG_OCTETS })
      .setAAD(Buffer.from(name))
      .setAuthTag(rest.subarray(IV_OCTETS, IV_OCTETS + TAG_OCTETS));
    const text = Buffer.concat([decipher.update(rest.subarray(IV_OCTETS + TAG_OCTETS)), decipher.final()]).toString("utf8");
    return JSON.parse(text) as SignIn;
  } catch {
    return undefined;
  }
}

async function readOr(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The key; made by whoever comes first, daemon or command line. */
async function keyIn(directory: string, owner: Owner): Promise<Buffer> {
  const file = join(directory, KEY_FILE);
  const existing = await readOr(file);
  if (existing !== undefined) {
    if (existing.length !== KEY_OCTETS) throw new Error(`${file} holds no key; remove it, and sign in again`);
    return existing;
  }
  const own = `${file}.${randomBytes(6).toString("hex")}`;
  await writeFileAtomic(own, randomBytes(KEY_OCTETS));
  await owner.give(own);
  try {
    // Unlike a rename this never replaces a key that another process made meanwhile.
    await link(own, file);
    await syncDirectory(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(own, { force: true });
  }
  return await readFile(file);
}

/** Who the files belong to. */
interface Owner {
  /** Hands a file to them, where that takes doing. */
  readonly give: (path: string) => Promise<void>;
}

/** Makes the folder. An administrator signs in as root; the service that reads the files is somebody else. */
async function prepare(directory: string): Promise<Owner> {
  const parent = await stat(dirname(directory)).catch(() => undefined);
  const made = await mkdir(directory, { recursive: true, mode: 0o700 });
  if (process.getuid?.() !== 0) return { give: async () => {} };
  if (made !== undefined && parent !== undefined) await chown(directory, parent.uid, parent.gid);
  const { uid, gid } = await stat(directory);
  return { give: async (path) => await chown(path, uid, gid) };
}
