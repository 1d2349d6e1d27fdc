/** argv in, exit code out. */
import { main } from "./cli/program.ts";

// The reader of a pipe may leave early (`postern queue list | head`). For a command that is the end; the daemon's log copes by itself.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  if (process.argv[2] !== "run") process.exit(0);
});

// Nor does a fault come of one that nobody reads: the command's end, and its exit code, are what they are.
process.stderr.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

const code = await main(process.argv.slice(2));
process.exitCode = code;
// All is written and closed by now. Left to itself the process would wait for look-ups of names that nobody answers, one after the other, which can take
// longer than the service manager does.
if (process.argv.includes("run")) process.exit(code);
