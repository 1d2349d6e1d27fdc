/** Checks of the Dockerfile that need no engine: `node scripts/check-dockerfile.ts`. One line a fault; exit code 1 when there are any. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** One instruction with its continuation lines joined. */
interface Instruction {
  readonly name: string;
  readonly rest: string;
}

function parse(text: string): Instruction[] {
  const joined = text.replace(/^\s*#.*\n/gm, "").replace(/\\\n/g, " ");
  return joined.split("\n").flatMap((line) => {
    const match = /^([A-Z]+)\s+(.*)$/.exec(line.trim());
    return match === null ? [] : [{ name: match[1] ?? "", rest: match[2] ?? "" }];
  });
}

/**
 * What is wrong with a Dockerfile.
 *
 * @param ignored - text of .dockerignore, which must let through what is copied
 * @param root - folder that COPY starts at
 */
export function dockerfileFaults(text: string, ignored: string, root: string): string[] {
  const faults: string[] = [];
  const instructions = parse(text);
  const stages = instructions.filter((instruction) => instruction.name === "FROM");
  const names = new Set(stages.flatMap((stage) => / AS (\S+)$/i.exec(stage.rest)?.[1] ?? []));
  if (stages.length < 2) faults.push("expected a build stage and a final stage");
  for (const stage of stages)
    if (!/^\S+:[^\s:]+/.test(stage.rest) || /:latest\b/.test(stage.rest)) faults.push(`FROM ${stage.rest}: name a version`);

  const passed = new Set(ignored.split("\n").flatMap((line) => (line.startsWith("!") ? [line.slice(1)] : [])));
  for (const { rest } of instructions.filter((instruction) => instruction.name === "COPY")) {
    const words = rest.split(/\s+/);
    const from = words.find((word) => word.startsWith("--from="))?.slice("--from=".length);
    if (from !== undefined) {
      if (!names.has(from)) faults.push(`COPY --from=${from}: there is no such stage`);
      continue;
    }
    for (const source of words.filter((word) => !word.startsWith("--")).slice(0, -1)) {
      if (!existsSync(join(root, source))) faults.push(`COPY ${source}: there is no such file`);
      if (!passed.has(source)) faults.push(`COPY ${source}: .dockerignore keeps it out`);
    }
  }

  const last = instructions.findLastIndex((instruction) => instruction.name === "FROM");
  const final = instructions.slice(last);
  const find = (name: string): Instruction | undefined => final.findLast((instruction) => instruction.name === name);
  const user = find("USER")?.rest ?? "root";
  if (/^(root|0)\b/.test(user)) faults.push("the final stage runs as root");
  if (!(find("HEALTHCHECK")?.rest ?? "NONE").includes("/readyz")) faults.push("the final stage has no HEALTHCHECK of /readyz");
  if (find("VOLUME") === undefined) faults.push("the queue is on no VOLUME");
  if (!final.some((instruction) => instruction.name === "RUN" && /npm ci .*--omit=dev.*--ignore-scripts/.test(instruction.rest))) {
    faults.push("the final stage must install with npm ci --omit=dev --ignore-scripts");
  }
  if (instructions.some(({ name, rest }) => (name === "ARG" || name === "ENV") && /secret|password|token|key/i.test(rest))) {
    faults.push("a secret does not belong into an image: use a mounted file");
  }
  return faults;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const faults = dockerfileFaults(readFileSync(join(root, "Dockerfile"), "utf8"), readFileSync(join(root, ".dockerignore"), "utf8"), root);
  for (const fault of faults) process.stderr.write(`Dockerfile: ${fault}\n`);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
