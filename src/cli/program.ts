/** The command line: which commands there are, how they are called, and what a fault looks like outside. */
import { Command, CommanderError, Option } from "commander";
import { describeError, PosternError } from "../mail/errors.ts";
import { versions } from "../platform/version.ts";
import { RECIPIENT_STATES } from "../admin/states.ts";
import type { DoctorCommandOptions } from "./doctor.ts";
import type { ExplainOptions } from "./explain.ts";
import { DEFAULT_CONFIG, type GlobalOptions } from "./options.ts";
import type { ReloadOptions } from "./reload.ts";
import type { TestOptions } from "./test.ts";
import type { QueueOptions } from "./queue-filter.ts";

/** sysexits.h, as far as a command can end with it without a coded fault. */
const EX_USAGE = 64;
const EX_UNAVAILABLE = 69;
const EX_SOFTWARE = 70;

const EXIT_CODES = `
Exit codes:
  0  ok               69  unavailable        77  refused by policy
  64 usage            75  temporary fault    78  configuration`;

/**
 * Runs one command line.
 *
 * @param argv - without node and script
 * @returns the exit code; faults are printed as one line on stderr
 */
export async function main(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = buildProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const { line, code } = explainFault(error, helpFor(program, argv));
    process.stderr.write(`postern: ${line}\n`);
    if (process.env["POSTERN_DEBUG"] === "1" && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    return code;
  }
}

/** What to type for the help of the command that was meant, as far as it can be told. */
function helpFor(program: Command, argv: readonly string[]): string {
  const names = ["postern"];
  let place = program;
  for (const word of argv) {
    const next = place.commands.find((command) => command.name() === word);
    if (next === undefined) continue;
    names.push(word);
    place = next;
  }
  return `see ${names.join(" ")} --help`;
}

function explainFault(error: unknown, help: string): { line: string; code: number } {
  if (error instanceof CommanderError) {
    // Commander would print the whole help on stderr when a command is missing.
    if (error.code === "commander.help") return { line: `which command? ${help}`, code: EX_USAGE };
    const text = error.message.replace(/^error: /, "").replace(/\s*\n\s*/g, " ");
    return { line: `${text.replace(/\.$/, "")}; ${help}`, code: EX_USAGE };
  }
  if (error instanceof PosternError) return { line: describeError(error), code: error.exitCode };
  // What the system refuses (no room, no right, no such folder) is nobody's bug.
  if (error instanceof Error && "syscall" in error && "errno" in error) return { line: describeError(error), code: EX_UNAVAILABLE };
  return { line: `unexpected fault: ${describeError(error)} (POSTERN_DEBUG=1 shows more)`, code: EX_SOFTWARE };
}

/** All commands; `finish` takes the exit code. Each command's module is loaded only when it is called. */
export function buildProgram(finish: (exitCode: number) => void): Command {
  const program = new Command("postern");
  program
    .description("SMTP smart host for the local network that gets the mail of printers, scanners and applications into Microsoft 365.")
    .usage("COMMAND [--config FILE] [--json]")
    .addOption(new Option("--config <file>", "configuration file").env("POSTERN_CONFIG").default(DEFAULT_CONFIG))
    .option("--json", "print JSON instead of text", false)
    .version(versions().postern, "--version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print help for a command")
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .configureOutput({ writeErr: () => {}, outputError: () => {} })
    .exitOverride()
    .addHelpText("after", EXIT_CODES);
  const globals = (): GlobalOptions => {
    const options = program.opts<GlobalOptions>();
    // A variable that is there and empty names no file.
    return options.config === "" ? { ...options, config: DEFAULT_CONFIG } : options;
  };

  command(program, "run", "run the relay until SIGTERM").action(async () => finish(await (await import("./run.ts")).runCommand(globals())));
  command(program, "check", "validate the configuration and everything it names").action(async () =>
    finish(await (await import("./check.ts")).checkCommand(globals())),
  );
  command(program, "demo", "run a stand-in for Microsoft 365, the relay and a printer's scan on embedded defaults")
    .option("--once", "prove that the scan arrives, then exit", false)
    .action(async (options: { once: boolean }) =>
      finish(await (await import("./demo.ts")).demoCommand({ ...globals(), once: options.once })),
    );
  command(program, "simulate", "run the stand-in for Microsoft 365 alone, with fault switches")
    .option("--directory <dir>", "where its keys and certificates are kept (default: a temporary folder)")
    .option("--port <service=port...>", "another port than the documented one: submission, mx, hve, acs, dns, entra, graph, arc or view")
    .action(async (options: { directory?: string; port?: string[] }) =>
      finish(await (await import("./simulate.ts")).simulateCommand({ ...globals(), directory: options.directory, ports: options.port })),
    );
  addExplainCommand(program, globals, finish);
  addDoctorCommand(program, globals, finish);
  addTestCommand(program, globals, finish);
  command(program, "setup", "ask, write the configuration, and print what to do in the tenant, the DNS and the devices")
    .option("--answers <file>", "take the answers from this file (YAML) instead of asking")
    .option("--force", "replace a configuration that is there", false)
    .action(async (options: { answers?: string; force: boolean }) =>
      finish(await (await import("./setup.ts")).setupCommand(globals(), options)),
    );
  addQueueCommands(program, globals, finish);
  command(program, "trace", "what became of a mail: by queue id, Message-ID, device, address, time (9:14, yesterday, 2h) or a word")
    .argument("<words...>", "what is known of it; all of it must fit")
    .option("--limit <count>", "most messages to list", "20")
    .option("--transcript", "where one message fits: also what was said with the next hop (log.transcripts)", false)
    .action(async (words: string[], options: { limit: string; transcript: boolean }) =>
      finish(await (await import("./trace.ts")).traceCommand(globals(), words, options)),
    );
  addDeviceCommands(program, globals, finish);
  const watching = ["--watch", "draw it anew every 2 seconds, until Ctrl-C"] as const;
  command(program, "status", "how the running relay is doing")
    .option(...watching)
    .action(async (options: { watch?: boolean }) => finish(await (await import("./status.ts")).statusCommand(globals(), options)));
  command(program, "upstreams", "the ways out: up, paused or held and why, what waits, what is left of each budget, the last error")
    .option(...watching)
    .action(async (options: { watch?: boolean }) => finish(await (await import("./upstreams.ts")).upstreamsCommand(globals(), options)));
  command(program, "events", "what happens in the running relay, as it happens, until Ctrl-C; with --json one JSON object a line")
    .option("--types <names>", "only these events, with commas: recipient.delivered, or recipient.* for all that begin so")
    .action(async (options: { types?: string }) => finish(await (await import("./events.ts")).eventsCommand(globals(), options)));
  const auth = command(program, "auth", "sign in where a person has to");
  command(auth, "login", "sign an upstream with a device-code credential in, with a code in a browser")
    .argument("<upstream>", "name of the upstream")
    .action(async (upstream: string) => finish(await (await import("./auth.ts")).loginCommand(globals(), upstream)));
  addTokenCommands(program, globals, finish);
  command(program, "hash-password", "make the hash of a password (asked for, or read from standard input)").action(async () =>
    finish(await (await import("./hash-password.ts")).hashPasswordCommand(globals())),
  );
  command(program, "reload", "have the running relay read its configuration again; what has faults changes nothing")
    .option("--test-to <address>", "send a test mail to this address afterwards, and follow it to its end")
    .addHelpText(
      "after",
      "\nPrints what is in force now and what needs a restart. Exit code: 0, 78 with every fault where the file has some, 69 when the relay is not running;\nwith --test-to that of postern test.",
    )
    .action(async (options: ReloadOptions) => finish(await (await import("./reload.ts")).reloadCommand(globals(), options)));
  command(program, "schema", "print the JSON Schema of the configuration").action(async () =>
    finish((await import("./schema.ts")).schemaCommand()),
  );
  command(program, "completion", "print the completion script of a shell: bash, zsh or fish")
    .argument("<shell>", "bash, zsh or fish")
    .action(async (shell: string) => finish((await import("./completion.ts")).completionCommand(program, shell)));
  command(program, "version", "print the versions of Postern, Node and SQLite").action(async () =>
    finish((await import("./version.ts")).versionCommand(globals())),
  );
  return program;
}

function command(parent: Command, name: string, description: string): Command {
  return parent.command(name).description(description).allowExcessArguments(false);
}

function addExplainCommand(program: Command, globals: () => GlobalOptions, finish: (exitCode: number) => void): void {
  command(program, "explain", "what would become of a message, without sending it: client, replies, route, upstreams")
    .requiredOption("--ip <address>", "the device's address")
    .requiredOption("--from <address>", 'the sender of the envelope; "<>" for none')
    .requiredOption("--to <addresses...>", "recipients")
    .option("--size <size>", "size of the message: 35MiB, or octets")
    .option("--listener <name>", "the listener it comes to (default: the first that lets the user in, else the address)")
    .option("--user <name>", "the user that signed in")
    .addHelpText("after", "\nExit code: 0 when the sender and every recipient would be accepted, 77 when one would be refused.")
    .action(async (options: ExplainOptions) => finish(await (await import("./explain.ts")).explainCommand(globals(), options)));
}

function addDoctorCommand(program: Command, globals: () => GlobalOptions, finish: (exitCode: number) => void): void {
  command(program, "doctor", "look at everything that mail depends on, and say what is wrong and what repairs it")
    .option("--send <address>", "also send one test mail to this address by each upstream (default: stop before anything is sent)")
    .addHelpText(
      "after",
      `
It looks from inside the running relay, with its secrets and its place in the network; where none runs, from here.
Verdicts: ok (proved), warning, FAULT, not tested (cannot be proved from here: never taken for well).
Exit code: 0 without a fault, 69 when an upstream or service cannot be used, 78 when the configuration is at fault.`,
    )
    .action(async (options: DoctorCommandOptions) => finish(await (await import("./doctor.ts")).doctorCommand(globals(), options)));
}

function addTestCommand(program: Command, globals: () => GlobalOptions, finish: (exitCode: number) => void): void {
  command(program, "test", "send a test mail through the running relay and follow it to its end, or a test alert")
    .option("--to <address>", "recipient")
    .option("--alert", "instead of a mail a test alert, by every way in alerts: webhook, syslog, mail")
    .option("--from <address>", "sender, in one of the organization's domains (default: organization.default_sender)")
    .option("--upstream <name>", "by this upstream only, whatever the routes say (default: as the routes say)")
    .option("--wait <time>", "how long to follow it: 30s, 5m", "60s")
    .addHelpText(
      "after",
      "\nExit code: 0 when it was delivered, 75 when it waits (it stays in the queue), 69 when it was refused or the relay is not running.\nWith --alert: 0 when every way took it and the mail was delivered, 75 when the mail waits, 69 when a way did not take it, 78 when there is none.",
    )
    .action(async (options: TestOptions) =>
      finish(
        options.alert === true
          ? await (await import("./test-alert.ts")).testAlertCommand(globals(), options)
          : await (await import("./test.ts")).testCommand(globals(), options),
      ),
    );
}

const VERBS = {
  retry: "try waiting mail now",
  hold: "keep mail back until it is released",
  release: "let held mail go",
  bounce: "give mail up for good; its sender, or the postmaster, gets a report",
  delete: "delete mail for good; nobody is told",
} as const;

function addQueueCommands(program: Command, globals: () => GlobalOptions, finish: (exitCode: number) => void): void {
  const queue = command(program, "queue", "look at and act on the queue");
  withFilters(command(queue, "list", "list recipients, oldest first; without --state those that wait"))
    .option("--limit <count>", "most recipients to list", "100")
    .action(async (options: QueueOptions & { limit: string }) =>
      finish(await (await import("./queue.ts")).listCommand(globals(), options)),
    );
  command(queue, "show", "everything known of one message, and a preview of it while it is stored")
    .argument("<id>", "queue id")
    .option("--transcript", "also what was said with the next hop (log.transcripts), without secrets and content", false)
    .option("--no-preview", "without the message itself: its header, the beginning of its text, what is attached")
    .action(async (id: string, options: { transcript: boolean; preview: boolean }) =>
      finish(await (await import("./queue.ts")).showCommand(globals(), id, options)),
    );
  command(queue, "export", "write a message as it is stored (.eml) to standard output or a file")
    .argument("<id>", "queue id")
    .option("--output <file>", "write to this file, which must not exist")
    .action(async (id: string, options: { output?: string }) =>
      finish(await (await import("./export.ts")).exportCommand(globals(), id, options.output)),
    );
  for (const [verb, description] of Object.entries(VERBS) as [keyof typeof VERBS, string][]) {
    const entry = withFilters(command(queue, verb, description))
      .argument("[ids...]", "queue ids")
      .option("--all", "everything in the queue; asks on a terminal", false)
      .option("--yes", "do not ask; needed to delete or bounce by filters where there is no terminal", false);
    entry.action(async (ids: string[], options: QueueOptions & { all: boolean; yes?: boolean }) =>
      finish(await (await import("./queue.ts")).actCommand(globals(), verb, ids, options)),
    );
  }
}

function addDeviceCommands(program: Command, globals: () => GlobalOptions, finish: (exitCode: number) => void): void {
  const devices = command(program, "devices", "who sends, who was refused, who may come in; without a command the list");
  devices.action(async () => finish(await (await import("./devices.ts")).listDevicesCommand(globals(), {})));
  command(devices, "list", "every address seen, the latest first")
    .option("--refused", "only those that were refused")
    .option("--learned", "only those that a learning client let in")
    .option("--client <name>", "only devices of this client")
    .action(async (options: { refused?: boolean; learned?: boolean; client?: string }) =>
      finish(await (await import("./devices.ts")).listDevicesCommand(globals(), options)),
    );
  command(devices, "show", "everything known of one device")
    .argument("<address>", "its IP address")
    .action(async (address: string) => finish(await (await import("./devices.ts")).showDeviceCommand(globals(), address)));
  command(devices, "allow", "let a device in for good, without a change of the configuration")
    .argument("<address>", "its IP address")
    .requiredOption("--client <name>", "the client whose policy it gets")
    .action(async (address: string, options: { client: string }) =>
      finish(await (await import("./devices.ts")).allowDeviceCommand(globals(), address, options.client)),
    );
  command(devices, "forget", "drop what is known of a device, and what was allowed to it")
    .argument("<address>", "its IP address")
    .action(async (address: string) => finish(await (await import("./devices.ts")).forgetDeviceCommand(globals(), address)));
}

function addTokenCommands(program: Command, globals: () => GlobalOptions, finish: (exitCode: number) => void): void {
  const token = command(program, "token", "who may use the API over the network; works with the relay and before its first start");
  command(token, "add", "make a token, and print it for this once")
    .argument("<name>", "its name: who acts, in log and history")
    .requiredOption(
      "--role <role>",
      "viewer (looks), operator (acts on mail and devices, sees content), administrator (reload and tokens too)",
    )
    .option("--expires <span>", "how long it is good: 12h, 90d (default: until it is revoked)")
    .action(async (name: string, options: { role: string; expires?: string }) =>
      finish(await (await import("./token.ts")).addTokenCommand(globals(), name, options)),
    );
  command(token, "list", "tokens with role, end and last use; not the tokens themselves, which nobody knows any more").action(async () =>
    finish(await (await import("./token.ts")).listTokensCommand(globals())),
  );
  command(token, "revoke", "take a token back, at once")
    .argument("<name>", "its name")
    .action(async (name: string) => finish(await (await import("./token.ts")).revokeTokenCommand(globals(), name)));
}

function withFilters(entry: Command): Command {
  return entry
    .option("--state <states>", `only these states, with commas: ${RECIPIENT_STATES.join(", ")}`)
    .option("--upstream <name>", "only what waits for this upstream")
    .option("--client <name>", "only mail of this client")
    .option("--device <address>", "only mail of this device")
    .option("--from <text>", "only mail whose sender contains this; <>: mail without a sender")
    .option("--to <text>", "only recipients that contain this")
    .option("--older-than <age>", "only mail accepted before this long ago: 30s, 5m, 4h, 2d");
}
