import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";

test("SIGHUP does not end the process, the first SIGTERM asks, the second insists", async () => {
  const module = new URL("./signals.ts", import.meta.url).href;
  const script = `
    import { watchSignals } from ${JSON.stringify(module)};
    const idle = setInterval(() => {}, 1000);
    watchSignals({
      stop: (signal, again) => { console.log(signal, again); if (again) clearInterval(idle); },
      reload: () => console.log("reload"),
    });
    console.log("ready");`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  const said: string[] = [];

  for await (const line of createInterface({ input: child.stdout })) {
    said.push(line);
    if (line === "ready") child.kill("SIGHUP");
    if (line === "reload" || line === "SIGTERM false") child.kill("SIGTERM");
  }

  expect(said).toEqual(["ready", "reload", "SIGTERM false", "SIGTERM true"]);
  expect(await exit).toEqual([0, null]);
});
