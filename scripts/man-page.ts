/** docs/postern.8: the manual page, made from what the commands say of themselves. `man -l docs/postern.8` shows it. */
import type { Command } from "commander";
import { buildProgram } from "../src/cli/program.ts";

/** Text for roff: no line of it may be taken for a request, and hyphens stay hyphens. */
function roff(text: string): string {
  return text
    .replaceAll("\\", String.raw`\e`)
    .replaceAll("-", String.raw`\-`)
    .replace(/^(['.])/gm, String.raw`\&$1`);
}

function* optionsOf(command: Command): Generator<string> {
  const help = command.createHelp();
  for (const option of help.visibleOptions(command)) {
    if (option.long === "--help") continue;
    yield ".TP";
    yield `.B ${roff(option.flags)}`;
    yield roff(help.optionDescription(option));
  }
}

function* commandsOf(parent: Command, words: readonly string[]): Generator<string> {
  for (const command of parent.commands) {
    if (command.name() === "help") continue;
    const path = [...words, command.name()];
    yield `.SS ${roff([...path, command.usage()].join(" "))}`;
    yield `${roff(command.description().replace(/^[a-z]/, (first) => first.toUpperCase()))}.`;
    yield* optionsOf(command);
    yield* commandsOf(command, path);
  }
}

const FILES: readonly (readonly [string, string])[] = [
  ["/etc/postern/postern.yaml", "Configuration; another one by --config or $POSTERN_CONFIG."],
  ["/var/lib/postern", "Queue, sign-ins, devices: data_dir of the configuration."],
];

const EXIT_CODES: readonly (readonly [string, string])[] = [
  ["0", "Done."],
  ["64", "The command line is wrong, or names something that is not there."],
  ["69", "The daemon, or what it needs, is not available."],
  ["70", "An unexpected fault: please report it."],
  ["75", "Not now: a temporary fault."],
  ["77", "Refused by policy."],
  ["78", "The configuration is wrong."],
];

const EXAMPLES: readonly (readonly [string, string])[] = [
  ["postern setup", "Write a configuration, and be told what to do in the tenant."],
  ["postern trace 9:14 10.20.3.7", "What became of the scan of 9:14 from this printer?"],
  ["postern doctor", "What is wrong, and what repairs it?"],
  ["postern queue list --state held", "What waits for a repair?"],
  ["postern events --types 'recipient.*'", "What becomes of mail at this moment?"],
  ["postern token add wall --role viewer --expires 90d", "Let a program look, by the API."],
];

const terms = (pairs: readonly (readonly [string, string])[]): string[] =>
  pairs.flatMap(([term, text]) => [".TP", `.B ${roff(term)}`, roff(text)]);

/** The page in roff's man macros, ending in a line feed. */
export function renderManPage(): string {
  const program = buildProgram(() => {});
  const lines = [
    `.\\" Made by scripts/man-page.ts; do not edit.`,
    `.TH POSTERN 8 "" "Postern" "System administration"`,
    ".SH NAME",
    String.raw`postern \- SMTP smart host that gets the mail of the local network into Microsoft 365`,
    ".SH SYNOPSIS",
    ".B postern",
    String.raw`.I COMMAND\fR [\fB\-\-config\fR \fIFILE\fR] [\fB\-\-json\fR]`,
    ".SH DESCRIPTION",
    roff(program.description()),
    ".PP",
    roff(
      "It answers 250 only when a message is safe on disk, keeps Microsoft's limits, and says in plain words what became of every message.",
    ),
    ".SH OPTIONS",
    ...optionsOf(program),
    ".SH COMMANDS",
    ...commandsOf(program, []),
    ".SH OUTPUT",
    roff(
      "On a terminal lists are tables, in colour unless NO_COLOR is set. Into a pipe or a file they have one line a row with a tab between columns; with --json they are JSON, with whole values and times in milliseconds since the epoch. Faults are one line on standard error.",
    ),
    ".SH EXIT STATUS",
    ...terms(EXIT_CODES),
    ".SH FILES",
    ...terms(FILES),
    ".SH EXAMPLES",
    ...terms(EXAMPLES),
  ];
  return `${lines.join("\n")}\n`;
}
