/**
 * `postern setup`: asks, writes the configuration, makes keys, and prints what is to be done in the tenant, in the DNS and in the devices.
 */
import { access, readFile } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { describeError, PosternError } from "../mail/errors.ts";
import { checkConfig } from "../config/check.ts";
import { formatFinding } from "../config/finding.ts";
import { loadConfig } from "../config/load.ts";
import { ensurePrivateDirectory, makeDirectory, writeFileAtomic } from "../platform/files.ts";
import { makeCertificate } from "../receive/certificate.ts";
import type { GlobalOptions } from "./options.ts";
import type { Answers } from "./setup/answers.ts";
import { NO_CLIENT_ID, renderConfig } from "./setup/config-file.ts";
import { answersFromFile, answersFromTerminal } from "./setup/interview.ts";
import { deviceSheet, dnsRecords, renderPowerShell } from "./setup/tenant-steps.ts";
import { paint, print, printJson } from "./table.ts";

export interface SetupOptions {
  /** Answers instead of questions. */
  readonly answers?: string;
  /** Replace a configuration that is there. */
  readonly force: boolean;
}

/** Entra takes certificates of any length; a year is long enough to forget, so doctor and metrics remind. */
const ENTRA_CERTIFICATE_DAYS = 365;

/**
 * 0 when everything is written.
 *
 * @throws PosternError E_USAGE for answers that make no sense, and for a configuration that is there already; nothing is written then
 */
export async function setupCommand(options: GlobalOptions, given: SetupOptions): Promise<number> {
  const configFile = resolve(options.config);
  if (!given.force && (await exists(configFile)))
    throw new PosternError("E_USAGE", `${configFile} exists: give another --config FILE, or --force to replace it`);
  if (given.answers === undefined && !process.stdin.isTTY)
    throw new PosternError("E_USAGE", "setup: not on a terminal, so --answers FILE is needed (see docs/setup.md)");
  const answers =
    given.answers === undefined ? await answersFromTerminal() : answersFromFile(await readAnswers(given.answers), given.answers);

  const folder = dirname(configFile);
  const written = await writeAll(answers, configFile, folder);
  const noId = answers.clientId === undefined && (answers.doors.includes("mailbox") || answers.doors.includes("graph"));
  const findings = [
    ...(noId ? [`${configFile}: fill in the application id: ${NO_CLIENT_ID} stands in its place`] : []),
    ...(await whatIsMissing(configFile)),
  ];
  const powershell = renderPowerShell(answers);
  const dns = dnsRecords(answers);
  const devices = deviceSheet(answers);
  if (options.json) {
    printJson({ written, findings, powershell, dns, devices });
    return 0;
  }
  print(
    paint("bold", "Written"),
    ...written.map((file) => `  ${file}`),
    "",
    paint("bold", "To do in the tenant (PowerShell)"),
    "",
    powershell.trimEnd(),
    "",
    ...(dns.length === 0 ? [] : [paint("bold", "To have in the DNS"), ...dns.map((record) => `  ${record}`), ""]),
    paint("bold", "To type into the devices"),
    ...devices.map((line) => `  ${line}`),
    "",
    ...(findings.length === 0 ? [] : [paint("bold", "Still missing (postern check)"), ...findings.map((finding) => `  ${finding}`), ""]),
    paint("bold", "Then"),
    `  postern check --config ${configFile}`,
    "  systemctl start postern   (or postern run)",
    `  postern test --to ${answers.postmaster}`,
  );
  return 0;
}

/** What `check` says of it, one line each. */
async function whatIsMissing(configFile: string): Promise<string[]> {
  const loaded = await loadConfig(configFile);
  const findings = loaded.ok ? [...loaded.warnings, ...(await checkConfig(loaded.config, loaded.source))] : loaded.faults;
  return findings.map((finding) => formatFinding(finding));
}

async function readAnswers(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new PosternError("E_USAGE", `the answers in ${file} cannot be read: ${describeError(error)}`, { cause: error });
  }
}

/** The configuration comes last: while it is not there, nothing was set up. */
async function writeAll(answers: Answers, configFile: string, folder: string): Promise<string[]> {
  const written: string[] = [];
  const { files, credential, doors } = answers;
  const signsIn = doors.includes("mailbox") || doors.includes("graph");
  try {
    await makeDirectory(folder);
    if (signsIn && credential === "certificate") {
      const [certificate, key] = [inFolder(folder, files.certificate), inFolder(folder, files.key)];
      if (!(await exists(key)) || !(await exists(certificate))) {
        const made = await makeCertificate(answers.hostname, [], Date.now(), ENTRA_CERTIFICATE_DAYS);
        await ensurePrivateDirectory(dirname(key));
        await writeFileAtomic(key, made.keyPem, 0o600);
        await writeFileAtomic(certificate, made.certPem, 0o644);
        written.push(`${certificate}   upload this one`, `${key}   keep this one`);
      }
    }
    if (signsIn && credential === "secret" && !isAbsolute(files.secret))
      await ensurePrivateDirectory(dirname(inFolder(folder, files.secret)));
    if (doors.includes("high-volume") && !isAbsolute(files.volumePassword))
      await ensurePrivateDirectory(dirname(inFolder(folder, files.volumePassword)));
    await writeFileAtomic(configFile, renderConfig(answers), 0o640);
    written.push(configFile);
  } catch (error) {
    throw new PosternError("E_UNAVAILABLE", `setup cannot write in ${folder}: ${describeError(error)}`, { cause: error });
  }
  return written;
}

function inFolder(folder: string, file: string): string {
  return isAbsolute(file) ? file : join(folder, file);
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch {
    return false;
  }
}
