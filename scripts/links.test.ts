/** Links between the documents lead somewhere: to a file that is there, and to a heading in it. */
import { readdir, readFile, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

async function documents(): Promise<string[]> {
  const folders = [".", "docs", "bench", "certs"];
  const files = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(join(ROOT, folder))).filter((name) => name.endsWith(".md")).map((name) => join(folder, name)),
    ),
  );
  return files.flat();
}

/** Text without code, where a bracket is no link. */
function prose(markdown: string): string {
  return markdown.replace(/^(`{3,}|~{3,})[\s\S]*?^\1$/gm, "").replace(/`[^`\n]*`/g, "");
}

/** The anchor that a heading gets where Markdown is shown. */
function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replace(/\s/g, "-");
}

function anchorsOf(markdown: string): Set<string> {
  const text = markdown.replace(/^(`{3,}|~{3,})[\s\S]*?^\1$/gm, "");
  return new Set([...text.matchAll(/^#{1,6} +(.+)$/gm)].map(([, heading = ""]) => anchorOf(heading)));
}

async function faultOf(document: string, target: string): Promise<string | undefined> {
  const [path = "", anchor] = target.split("#");
  const file = path === "" ? document : relative(ROOT, join(ROOT, dirname(document), path));
  if (file.startsWith("..")) return `${document}: ${target} leads out of the repository`;
  const found = await stat(join(ROOT, file)).catch(() => undefined);
  if (found === undefined) return `${document}: ${target} is not there`;
  if (anchor === undefined || !file.endsWith(".md")) return undefined;
  return anchorsOf(await readFile(join(ROOT, file), "utf8")).has(anchor) ? undefined : `${document}: ${target} has no such heading`;
}

test("every link between documents leads to a file and a heading that are there", async () => {
  const faults: (string | undefined)[] = [];
  let links = 0;
  for (const document of await documents()) {
    const text = prose(await readFile(join(ROOT, document), "utf8"));
    for (const [, target = ""] of text.matchAll(/\]\(([^()\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      links += 1;
      faults.push(await faultOf(document, target));
    }
  }

  expect(links).toBeGreaterThan(20);
  expect(faults.filter((fault) => fault !== undefined)).toEqual([]);
});

test("every page of docs can be reached from the README", async () => {
  const reached = new Set(["README.md"]);
  for (const document of reached) {
    const text = prose(await readFile(join(ROOT, document), "utf8"));
    for (const [, target = ""] of text.matchAll(/\]\(([^()\s#]+\.md)(?:#[^()\s]*)?\)/g))
      if (!/^[a-z]+:/.test(target)) reached.add(relative(ROOT, join(ROOT, dirname(document), target)));
  }

  expect((await documents()).filter((document) => document.startsWith("docs/") && !reached.has(document))).toEqual([]);
});
