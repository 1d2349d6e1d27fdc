/** `postern completion bash|zsh|fish`: completes commands, options and words that are known beforehand, made from the program itself. */
import type { Command } from "commander";
import { PosternError } from "../mail/errors.ts";
import { print } from "./table.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

/** A command by the words that lead to it, with what may follow. */
interface Place {
  readonly words: readonly string[];
  readonly next: readonly Word[];
}

interface Word {
  readonly word: string;
  readonly description: string;
  /** What follows an option; undefined where nothing does. */
  readonly takes?: "file" | "value" | undefined;
}

/** @throws PosternError E_USAGE for a shell that is not known */
export function completionCommand(program: Command, shell: string): number {
  const known = SHELLS.find((name) => name === shell);
  if (known === undefined)
    throw new PosternError("E_USAGE", `completion: ${JSON.stringify(shell)} is no shell we know; one of ${SHELLS.join(", ")}`);
  print(RENDER[known](placesOf(program, [])));
  return 0;
}

function placesOf(command: Command, words: readonly string[]): Place[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command).map((child) => ({ word: child.name(), description: child.description() }));
  const options = [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)].flatMap(
    ({ long, description, flags, required }) =>
      long === undefined || long === null
        ? []
        : [{ word: long, description, takes: !required ? undefined : /<(file|dir)>/.test(flags) ? ("file" as const) : ("value" as const) }],
  );
  const children = command.commands
    .filter((child) => child.name() !== "help")
    .flatMap((child) => placesOf(child, [...words, child.name()]));
  return [{ words, next: [...commands, ...options] }, ...children];
}

/** For single quotes of a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** Options after which a word is no command, in any place: an option means the same wherever it stands. */
function optionsThatTake(places: readonly Place[], ...what: readonly Word["takes"][]): string[] {
  const taking = places.flatMap(({ next }) => next.filter(({ takes }) => takes !== undefined && what.includes(takes)));
  return [...new Set(taking.map(({ word }) => word))];
}

const RENDER: Readonly<Record<Shell, (places: readonly Place[]) => string>> = {
  bash: (places) =>
    [
      "# bash completion for postern. Install: postern completion bash > /etc/bash_completion.d/postern",
      "_postern() {",
      '  local word="${COMP_WORDS[COMP_CWORD]}" place="" i',
      '  case "${COMP_WORDS[COMP_CWORD-1]}" in',
      `    ${optionsThatTake(places, "file").join("|")}) compopt -o filenames 2>/dev/null || :; COMPREPLY=($(compgen -f -- "$word")); return ;;`,
      `    ${optionsThatTake(places, "value").join("|")}) COMPREPLY=(); return ;;`,
      "  esac",
      "  for ((i = 1; i < COMP_CWORD; i++)); do",
      '    case "${COMP_WORDS[i]}" in',
      `      ${optionsThatTake(places, "file", "value").join("|")}) ((++i)) ;;`,
      "      -*) ;;",
      '      *) place="${place:+$place }${COMP_WORDS[i]}" ;;',
      "    esac",
      "  done",
      '  while :; do case "$place" in',
      ...places.map(
        ({ words, next }) =>
          `    ${quoted(words.join(" "))}) COMPREPLY=($(compgen -W ${quoted(next.map(({ word }) => word).join(" "))} -- "$word")); return ;;`,
      ),
      '    *" "*) place="${place% *}" ;;',
      '    *) place="" ;;',
      "  esac; done",
      "}",
      "complete -F _postern postern",
    ].join("\n"),
  zsh: (places) =>
    [
      "#compdef postern",
      "# zsh completion for postern. Install: postern completion zsh > /usr/local/share/zsh/site-functions/_postern",
      'local place=""; local -i i; local -a choices',
      'case "${words[CURRENT-1]}" in',
      `  ${optionsThatTake(places, "file").join("|")}) _files; return ;;`,
      `  ${optionsThatTake(places, "value").join("|")}) return 1 ;;`,
      "esac",
      "for ((i = 2; i < CURRENT; i++)); do",
      '  case "${words[i]}" in',
      `    ${optionsThatTake(places, "file", "value").join("|")}) ((++i)) ;;`,
      "    -*) ;;",
      '    *) place="${place:+$place }${words[i]}" ;;',
      "  esac",
      "done",
      'while :; do case "$place" in',
      ...places.map(
        ({ words, next }) =>
          `  ${quoted(words.join(" "))}) choices=(${next.map(({ word, description }) => quoted(`${word}:${description.replaceAll(":", String.raw`\:`)}`)).join(" ")}); _describe postern choices; return ;;`,
      ),
      '  *" "*) place="${place% *}" ;;',
      '  *) place="" ;;',
      "esac; done",
    ].join("\n"),
  fish: (places) =>
    [
      "# fish completion for postern. Install: postern completion fish > ~/.config/fish/completions/postern.fish",
      "function __postern_at",
      "  set -l place",
      "  set -l value no",
      "  for word in (commandline -opc)[2..-1]",
      "    if test $value = yes",
      "      set value no",
      `    else if contains -- $word ${optionsThatTake(places, "file", "value").join(" ")}`,
      "      set value yes",
      "    else if not string match -q -- '-*' $word",
      "      set -a place $word",
      "    end",
      "  end",
      "  # What follows a command and is no command is its argument.",
      `  while set -q place[1]; and not contains -- "$place" ${places.flatMap(({ words }) => (words.length === 0 ? [] : [quoted(words.join(" "))])).join(" ")}`,
      "    set -e place[-1]",
      "  end",
      '  test "$place" = "$argv[1]"',
      "end",
      "complete -c postern -f",
      ...places.flatMap(({ words, next }) =>
        next.map(({ word, description, takes }) => {
          const place = `-n ${quoted(`__postern_at ${quoted(words.join(" "))}`)}`;
          const follows = takes === "file" ? " -r -F" : takes === "value" ? " -x" : "";
          return word.startsWith("--")
            ? `complete -c postern ${place} -l ${word.slice(2)}${follows} -d ${quoted(description)}`
            : `complete -c postern ${place} -a ${word} -d ${quoted(description)}`;
        }),
      ),
    ].join("\n"),
};
