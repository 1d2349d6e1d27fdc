/** Whether what goes to standard output may be in colour. */

/** On a terminal, unless NO_COLOR is there and not empty (https://no-color.org). */
export function inColour(stdout: { readonly isTTY?: boolean } = process.stdout, env: NodeJS.ProcessEnv = process.env): boolean {
  return stdout.isTTY === true && (env["NO_COLOR"] ?? "") === "";
}
