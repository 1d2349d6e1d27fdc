/**
 * `postern setup`: asks, writes the configuration, makes keys, and prints what is to be done in the tenant, in the DNS and in the devices.
 */
import { access, readFile } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { describeError, PosternError } from "../mail/errors.ts";
import { checkConfig } from "../config/check.ts";
import { distinct, formatFinding } from "../config/finding.ts";
import { loadConfig } from "../config/load.ts";
import { ensurePrivateDirectory, makeDirectory, writeFileAtomic } from "../platform/files.ts";
import { packageFile } from "../platform/place.ts";
import { makeCertificate } from "../receive/certificate.ts";
import { DEFAULT_CONFIG, type GlobalOptions } from "./options.ts";
import type { Answers } from "./setup/answers.ts";
import { NO_CLIENT_ID, renderConfig } from "./setup/config-file.ts";
import { answersFromFile, answersFromTerminal } from "./setup/interview.ts";
import { findServiceGroup, giveToGroup, SERVICE_GROUP, type ServiceGroup } from "./setup/service-group.ts";
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
  const group = await findServiceGroup();
  const { written, isOurs } = await writeAll(answers, configFile, folder, group);
  const noId = answers.clientId === undefined && signsIn(answers.doors);
  const missing = await whatIsMissing(configFile);
  const findings = noId
    ? [
        `${configFile}: fill in the application id: ${NO_CLIENT_ID} stands in its place`,
        ...missing.filter((finding) => !finding.includes(".credential.client_id: ")),
      ]
    : missing;
  const powershell = renderPowerShell(answers);
  const dns = dnsRecords(answers);
  const devices = deviceSheet(answers);
  // The unit reads the usual file; for another the commands have to be told.
  const other = configFile === DEFAULT_CONFIG ? "" : ` --config ${configFile}`;
  const next = [
    ...(group === "missing" ? userSteps(folder, isOurs) : []),
    ...(await secretSteps(answers, folder, group)),
    `postern check${other}`,
    other === "" ? "systemctl enable --now postern   (or postern run)" : `postern run${other}`,
    `postern test --to ${answers.postmaster}${other}`,
  ];
  if (options.json) {
    printJson({ written, findings, powershell, dns, devices, next });
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
    ...next.map((step) => `  ${step}`),
  );
  return 0;
}

/** What the service needs to read what root wrote before its user was there. */
function userSteps(folder: string, isOurs: boolean): string[] {
  return [
    `systemd-sysusers ${packageFile("systemd/postern.sysusers.conf")}   (the user and group ${SERVICE_GROUP} of the service)`,
    isOurs
      ? `chgrp -R ${SERVICE_GROUP} ${folder} && chmod -R u=rwX,g=rX,o= ${folder}   (which has to read this)`
      : `chgrp ${SERVICE_GROUP} and chmod g+r for what is written above   (which has to read it)`,
  ];
}

/** How each secret that the configuration names and that is not there yet is written, so that the service alone reads it. */
async function secretSteps(answers: Answers, folder: string, group: ServiceGroup): Promise<string[]> {
  const files = await Promise.all(
    secretFiles(answers).map(async (file) => ((await exists(inFolder(folder, file))) ? [] : [inFolder(folder, file)])),
  );
  const who = group === "none" ? "-m 600" : `-m 640 -g ${SERVICE_GROUP}`;
  return files.flat().map((file) => `install ${who} /dev/stdin ${file}   (then type or paste the secret, Enter, Ctrl-D)`);
}

function secretFiles({ doors, credential, files }: Answers): string[] {
  return [
    ...(signsIn(doors) && credential === "secret" ? [files.secret] : []),
    ...(doors.includes("high-volume") ? [files.volumePassword] : []),
  ];
}

function signsIn(doors: Answers["doors"]): boolean {
  return doors.includes("mailbox") || doors.includes("graph");
}

/** What `check` says of it, one line each. */
async function whatIsMissing(configFile: string): Promise<string[]> {
  const loaded = await loadConfig(configFile);
  const findings = loaded.ok ? [...loaded.warnings, ...(await checkConfig(loaded.config, loaded.source))] : loaded.faults;
  return distinct(findings).map((finding) => formatFinding(finding));
}

async function readAnswers(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new PosternError("E_USAGE", `the answers in ${file} cannot be read: ${describeError(error)}`, { cause: error });
  }
}

/**
 * The configuration comes last: while it is not there, nothing was set up.
 *
 * @returns isOurs - nothing but what is Postern's lies in the folder
 */
async function writeAll(
  answers: Answers,
  configFile: string,
  folder: string,
  group: ServiceGroup,
): Promise<{ readonly written: string[]; readonly isOurs: boolean }> {
  const written: string[] = [];
  const { files, credential, doors } = answers;
  try {
    const isOurs = folder === dirname(DEFAULT_CONFIG) || !(await exists(folder));
    await makeDirectory(folder);
    if (isOurs) await giveToGroup(group, folder, 0o750);
    if (signsIn(doors) && credential === "certificate") {
      const [certificate, key] = [inFolder(folder, files.certificate), inFolder(folder, files.key)];
      await makeInnerFolder(folder, files.key, group);
      if (!(await exists(key)) || !(await exists(certificate))) {
        const made = await makeCertificate(answers.hostname, [], Date.now(), ENTRA_CERTIFICATE_DAYS);
        await writeFileAtomic(key, made.keyPem, 0o600);
        await writeFileAtomic(certificate, made.certPem, 0o644);
        written.push(`${certificate}   upload this one`, `${key}   keep this one`);
      }
      await giveToGroup(group, key, 0o640);
      await giveToGroup(group, certificate, 0o644);
    }
    for (const file of secretFiles(answers)) await makeInnerFolder(folder, file, group);
    await writeFileAtomic(configFile, renderConfig(answers), 0o640);
    await giveToGroup(group, configFile, 0o640);
    written.push(configFile);
    return { written, isOurs };
  } catch (error) {
    throw new PosternError("E_UNAVAILABLE", `setup cannot write in ${folder}: ${describeError(error)}`, { cause: error });
  }
}

/** The folder of a file for secrets, where it is one inside the configuration's: another may have more in it than is ours. */
async function makeInnerFolder(folder: string, file: string, group: ServiceGroup): Promise<void> {
  const inner = dirname(inFolder(folder, file));
  if (isAbsolute(file) || inner === folder) return;
  await ensurePrivateDirectory(inner);
  await giveToGroup(group, inner, 0o750);
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
