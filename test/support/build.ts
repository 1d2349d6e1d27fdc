/** Before the first test: builds dist/ where it is older than its sources, so that the processes that tests start are what users run. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

export default function build(): void {
  execFileSync(process.execPath, [fileURLToPath(new URL("../../scripts/prepare.js", import.meta.url))], { stdio: "inherit" });
}
