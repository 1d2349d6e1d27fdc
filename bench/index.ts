/** `npm run bench -- NAME [OPTIONS]`: one question a file, figures on stdout. */
import { parseArgs } from "node:util";
import { benchIdle, formatIdleBench } from "./idle.ts";
import { benchLarge, formatLargeBench } from "./large.ts";
import { benchOperator, formatOperatorBench } from "./operator.ts";
import { benchRelay, formatRelayBench, SCENARIO_NAMES, type ScenarioName } from "./relay.ts";

const HELP = `npm run bench -- NAME [OPTIONS]

  relay    messages a second, CPU and memory, side by side with Postfix (needs root and Postfix installed)
             --only LIST       of ${SCENARIO_NAMES.join(",")}; default all
             --messages N      messages a round, instead of each scenario's own number
             --dir FOLDER      where queues live: choose the disk to measure; default the folder for temporary files
             --postfix-only    measure Postfix alone
  idle     time from start to ready, memory when nothing happens
  large    growth of memory with 20 messages of 35 MiB at once (needs Postfix's smtp-source and smtp-sink)
             --messages N      how many at once
  operator how long queue list and trace take, with 100,000 messages in the database
             --messages N      how many

For all:
  --rounds N    measured rounds; default 5
  --source      run Postern from its sources; default is the build in dist/ (npm run build)
  --json        figures as JSON
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "5" },
      messages: { type: "string" },
      only: { type: "string" },
      dir: { type: "string" },
      "postfix-only": { type: "boolean", default: false },
      source: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const [name] = positionals;
  if (values.help || name === undefined) {
    process.stdout.write(HELP);
    return values.help ? 0 : 64;
  }
  const rounds = count("--rounds", values.rounds);
  const messages = values.messages === undefined ? undefined : count("--messages", values.messages);
  const build = values.source ? "source" : "dist";
  const progress = (text: string) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
  };
  const print = <T>(result: T, format: (result: T) => string) => {
    if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
    process.stdout.write(`${values.json ? JSON.stringify(result, null, 2) : format(result)}\n`);
  };
  switch (name) {
    case "relay":
      print(
        await benchRelay({
          rounds,
          messages,
          build,
          progress,
          only: scenarios(values.only),
          folder: values.dir,
          postfixOnly: values["postfix-only"],
        }),
        formatRelayBench,
      );
      return 0;
    case "idle":
      print(await benchIdle({ rounds, build, progress }), formatIdleBench);
      return 0;
    case "large":
      print(await benchLarge({ messages: messages ?? 20, build, progress }), formatLargeBench);
      return 0;
    case "operator":
      print(await benchOperator({ rounds, messages: messages ?? 100_000, build, progress }), formatOperatorBench);
      return 0;
    default:
      throw new Error(`there is no bench ${JSON.stringify(name)}: relay, idle, large or operator`);
  }
}

function count(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${option} takes a whole number from 1, not ${JSON.stringify(text)}`);
  return value;
}

function scenarios(list: string | undefined): ScenarioName[] {
  if (list === undefined) return SCENARIO_NAMES;
  return list.split(",").map((name) => {
    const known = SCENARIO_NAMES.find((scenario) => scenario === name);
    if (known === undefined) throw new Error(`--only takes ${SCENARIO_NAMES.join(", ")}, not ${JSON.stringify(name)}`);
    return known;
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 69;
}
