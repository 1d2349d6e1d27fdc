/** `postern completion bash|zsh|fish`: completes commands, options and words that are known beforehand, made from the program itself. */
import type { Command } from "commander";
import { PosternError } from "../mail/errors.ts";
import { print } from "./table.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

/** A command by the words that lead to it, with what may follow. */
interface Place {
  readonly words: readonly string[];
  readonly next: readonly { readonly word: string; readonly description: string }[];
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
  const options = [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)].flatMap((option) =>
    option.long === undefined || option.long === null ? [] : [{ word: option.long, description: option.description }],
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

const RENDER: Readonly<Record<Shell, (places: readonly Place[]) => string>> = {
  bash: (places) =>
    [
      "# bash completion for postern. Install: postern completion bash > /etc/bash_completion.d/postern",
      "_postern() {",
      '  local word="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" place="" i',
      '  if [[ $previous == --config || $previous == --output || $previous == --answers ]]; then COMPREPLY=($(compgen -f -- "$word")); return; fi',
      "  for ((i = 1; i < COMP_CWORD; i++)); do",
      '    [[ ${COMP_WORDS[i]} == -* || ${COMP_WORDS[i-1]} == --config ]] || place="${place:+$place }${COMP_WORDS[i]}"',
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
      'local place="" word; local -a choices',
      'for word in ${words[2,CURRENT-1]}; do [[ $word == -* ]] || place="${place:+$place }$word"; done',
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
      "  set -l words (commandline -opc | string match -v -- '-*')",
      '  test (string join " " $words[2..-1]) = "$argv[1]"',
      "end",
      "complete -c postern -f",
      ...places.flatMap(({ words, next }) =>
        next.map(({ word, description }) => {
          const place = `-n ${quoted(`__postern_at ${quoted(words.join(" "))}`)}`;
          return word.startsWith("--")
            ? `complete -c postern ${place} -l ${word.slice(2)} -d ${quoted(description)}`
            : `complete -c postern ${place} -a ${word} -d ${quoted(description)}`;
        }),
      ),
    ].join("\n"),
};
