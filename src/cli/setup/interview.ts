/** Where the answers come from: a file, or a person at a terminal. Both are held to the same rules. */
import { createInterface } from "node:readline/promises";
import { parseDocument } from "yaml";
import { nearest } from "../../config/nearest.ts";
import { PosternError } from "../../mail/errors.ts";
import { paint } from "../table.ts";
import { DOORS, QUESTIONS, toAnswers, type Answers, type Given, type Question } from "./answers.ts";
import { DOOR_NAMES } from "./config-file.ts";

type Filling = Record<string, readonly string[]>;

/** Checks the values of one question; the fault as the end of a sentence that starts with "expected". */
function checked(
  question: Question,
  texts: readonly string[],
): { readonly values: string[] } | { readonly expected: string; readonly seen: string } {
  const values: string[] = [];
  for (const text of texts) {
    const read = question.read(text);
    if ("expected" in read) return { expected: read.expected, seen: text };
    values.push(read.value);
  }
  // Said twice is said once: networks and domains that are listed twice are faults of a configuration.
  return { values: [...new Set(values)] };
}

function fallbackOf(question: Question, given: Given): string | undefined {
  return question.fallback?.(given);
}

/** What would be an answer, as the end of a sentence that starts with "expected". */
function expectedFor(question: Question): string {
  const nothing = question.read("");
  return "expected" in nothing ? nothing.expected : question.text;
}

/**
 * Reads an answers file: YAML, the keys of the questions, lists where several answers are possible. What is missing takes its default.
 *
 * @throws PosternError E_USAGE with every fault, one a line
 */
export function answersFromFile(text: string, name: string): Answers {
  const document = parseDocument(text);
  const [broken] = document.errors;
  // One broken line often breaks what follows: the first says where to look, and what is missing besides cannot be known.
  if (broken !== undefined) throw new PosternError("E_USAGE", `${name}: ${(broken.message.split("\n", 1)[0] ?? "").replace(/:$/, "")}`);
  const faults: string[] = [];
  const content: unknown = document.toJS();
  if (typeof content !== "object" || content === null || Array.isArray(content))
    throw new PosternError("E_USAGE", `${name}: expected a mapping of answers, such as domains: [contoso.com]`);
  const { overrides: overriding, ...rest } = content as Record<string, unknown>;
  const overrides = overriding ?? {};
  const known = QUESTIONS.map(({ key }) => key);
  for (const key of Object.keys(rest)) {
    if (known.includes(key)) continue;
    const near = nearest(key, [...known, "overrides"]);
    faults.push(`${name}: ${key}: no such question${near === undefined ? "" : `; did you mean ${near}?`}`);
  }
  const given: Filling = {};
  for (const question of QUESTIONS) {
    if (question.ask !== undefined && !question.ask(given)) continue;
    const value = rest[question.key];
    const texts = value === undefined || value === null ? fallbackOf(question, given) : value;
    if (texts === undefined) {
      // A default that cannot be made, because an answer above it is wrong, is no fault of its own.
      const follows = question.fallback !== undefined && faults.length > 0;
      if (question.optional !== true && !follows) faults.push(`${name}: ${question.key}: is missing; expected ${expectedFor(question)}`);
      continue;
    }
    const list = (Array.isArray(texts) ? texts : [texts]).map((one: unknown) =>
      typeof one === "boolean" ? (one ? "yes" : "no") : String(one),
    );
    if (list.length === 0 || (list.length > 1 && !question.list)) {
      faults.push(`${name}: ${question.key}: expected ${question.list ? "at least one answer" : "one answer"}`);
      continue;
    }
    const result = checked(question, list);
    if ("expected" in result)
      faults.push(`${name}: ${question.key}: expected ${result.expected}, not ${JSON.stringify(result.seen.slice(0, 80))}`);
    else given[question.key] = result.values;
  }
  faults.push(...overrideFaults(overrides, given).map((fault) => `${name}: overrides: ${fault}`));
  if (faults.length > 0) throw new PosternError("E_USAGE", faults.join("; "));
  return toAnswers(given, overrides as Answers["overrides"]);
}

/** What is not right about the shape of `overrides`; `check` judges the keys themselves. */
function overrideFaults(overrides: unknown, given: Given): string[] {
  if (!isMapping(overrides)) return ["expected the names of upstreams with keys below them"];
  const names: readonly string[] = DOORS.filter((door) => given["doors"]?.includes(door) === true).map((door) => DOOR_NAMES[door]);
  return Object.entries(overrides).flatMap(([upstream, fields]) => {
    if (!names.includes(upstream))
      return [`there is no upstream ${JSON.stringify(upstream.slice(0, 80))} in this setup; one of: ${names.join(", ")}`];
    return isMapping(fields) ? [] : [`${upstream}: expected keys of an upstream, such as { port: 2587 }`];
  });
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Asks at the terminal, explains, and asks again where an answer makes no sense. Questions go to stderr, so that stdout is what was made. */
export async function answersFromTerminal(): Promise<Answers> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const given: Filling = {};
  const say = (text: string): boolean => process.stderr.write(`${text}\n`);
  // Lines that were pasted ahead wait here for their question.
  const lines = terminal[Symbol.asyncIterator]();
  const answer = async (prompt: string): Promise<string> => {
    terminal.setPrompt(prompt);
    terminal.prompt();
    const line = await lines.next();
    // Ctrl-D and Ctrl-C end the assistant without having written anything.
    if (line.done === true) throw new PosternError("E_USAGE", "setup was ended; nothing was written");
    return line.value.trim();
  };
  try {
    for (const question of QUESTIONS) {
      if (question.ask !== undefined && !question.ask(given)) continue;
      const fallback = fallbackOf(question, given);
      say(`\n${paint("bold", question.text)}${question.list ? " (several with commas)" : ""}`);
      for (const line of question.help.split("\n")) say(paint("dim", `  ${line}`));
      for (;;) {
        const hint = fallback !== undefined ? ` [${fallback}]` : question.optional === true ? " [none]" : "";
        const said = await answer(`${hint} > `);
        const text = said === "" ? fallback : said;
        if (text === undefined) {
          if (question.optional === true) break;
          say("  An answer is needed here.");
          continue;
        }
        const result = checked(
          question,
          question.list
            ? text
                .split(",")
                .map((part) => part.trim())
                .filter((part) => part !== "")
            : [text],
        );
        if ("expected" in result) {
          say(`  Expected ${result.expected}, not ${JSON.stringify(result.seen)}.`);
          continue;
        }
        if (result.values.length === 0) continue;
        given[question.key] = result.values;
        break;
      }
    }
    return toAnswers(given, {});
  } finally {
    terminal.close();
  }
}
