/** The program's files are replaced while the relay runs, as `git pull && npm ci` in its folder does. */
import { cp, mkdir, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { SmtpReceiver } from "../crash/smtp-receiver.ts";
import { PROGRAM } from "../support/postern.ts";
import { tempDir } from "../support/temp-dir.ts";
import { postern, run, writeConfig } from "./process.ts";
import { submit } from "./submit.ts";

test("mail goes on, reports included; commands and a reload say in one line that it has to be restarted", async () => {
  const folder = await tempDir();
  const root = dirname(dirname(PROGRAM));
  const installed = join(folder.path, "installed");
  await mkdir(installed);
  await cp(dirname(PROGRAM), join(installed, "dist"), { recursive: true });
  await cp(join(root, "package.json"), join(installed, "package.json"));
  await symlink(join(root, "node_modules"), join(installed, "node_modules"));
  const subjects: string[] = [];
  const nextHop = new SmtpReceiver((content) => {
    const subject = /^Subject: (\w+ \w+)/m.exec(content.toString("latin1"))?.[1] ?? "none";
    subjects.push(subject);
    return subject === "Page two" ? "550 5.1.1 no such mailbox" : "250 2.0.0 Ok: taken";
  });
  const files = await writeConfig(folder.path, await nextHop.listen());
  const relay = await run(files, [], join(installed, "dist/main.js"));
  try {
    await rm(join(installed, "dist"), { recursive: true });

    for (const page of ["one", "two"])
      await submit(relay.port, { from: "scanner@contoso.com", to: ["anna@contoso.com"], content: `Subject: Page ${page}\r\n\r\nx\r\n` });
    for (const to of ["anna@contoso.com", "scanner@contoso.com"])
      await relay.waitForLine((line) => line.includes('"recipient.delivered"') && line.includes(`"recipient":"${to}"`));
    const commands = await Promise.all([["status"], ["queue", "list"], ["reload"]].map((words) => postern(files.configFile, ...words)));
    process.kill(relay.pid, "SIGHUP");
    const refused = await relay.waitForEvent("config.reload.failed");
    await relay.stop();

    for (const { code, stderr } of commands)
      expect({ code, stderr }).toEqual({
        code: 69,
        stderr: expect.stringMatching(/^postern: [^\n]*files were replaced[^\n]*[Rr]estart it[^\n]*\n$/) as unknown,
      });
    expect(refused["faults"]).toEqual([expect.stringMatching(/files were replaced.*restart it/)]);
    // The file is right, and `program.replaced` tells what is not.
    expect(relay.lines.filter((line) => line.includes('"alert.raised"') && line.includes('"config.reload"'))).toEqual([]);
    expect(subjects).toContain("Not delivered");
  } finally {
    await relay.stop();
    await nextHop.close();
    await folder.remove();
  }
});
