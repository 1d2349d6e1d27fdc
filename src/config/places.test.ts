import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp-dir.ts";
import { loadConfig } from "./load.ts";
import { readPlaces } from "./places.ts";

const example = fileURLToPath(new URL("../../config/postern.example.yaml", import.meta.url));

const MINIMAL = `hostname: relay.contoso.com
organization: { domains: [contoso.com], postmaster: it@contoso.com }
listeners: { printers: { listen: ":25" } }
clients: { floor: { networks: [10.20.0.0/16] } }
upstreams: { next: { type: smart-host, host: mail.contoso.com } }
routes: [{ name: default, via: next }]
`;

async function placesOf(text: string) {
  await using folder = await tempDir();
  const path = join(folder.path, "postern.yaml");
  await writeFile(path, text);
  return { places: await readPlaces(path), loaded: await loadConfig(path) };
}

test.each([
  ["an absolute folder", `${MINIMAL}data_dir: /var/lib/postern\n`],
  ["a relative folder", `${MINIMAL}data_dir: ../data\n`],
  ["a folder with blanks", `${MINIMAL}data_dir: " a b "\n`],
  ["a time zone", `${MINIMAL.replace("postmaster", "time_zone: europe/paris, postmaster")}data_dir: data\n`],
])("the places are those of the whole configuration: %s", async (_, text) => {
  const { places, loaded } = await placesOf(text);

  expect(loaded).toMatchObject({ ok: true, config: places });
  expect(places).toBeDefined();
});

test("the places are those of the whole configuration: the example", async () => {
  expect(await loadConfig(example)).toMatchObject({ ok: true, config: await readPlaces(example) });
});

test("a fault elsewhere in the file does not matter", async () => {
  const { places, loaded } = await placesOf(`${MINIMAL}data_dir: /srv/postern\nretri: 5\n`);

  expect(loaded.ok).toBe(false);
  expect(places).toMatchObject({ data_dir: "/srv/postern" });
});

test.each([
  ["no folder", MINIMAL],
  ["a folder that is none", `${MINIMAL}data_dir: [a]\n`],
  ["a folder of two lines", `${MINIMAL}data_dir: "a\\nb"\n`],
  ["a time zone that is none", `${MINIMAL.replace("postmaster", "time_zone: Paris, postmaster")}data_dir: data\n`],
  ["a text that is not YAML", `${MINIMAL}data_dir: data\n\tx: [\n`],
])("what the schema would refuse is left to it: %s", async (_, text) => {
  const { places, loaded } = await placesOf(text);

  expect({ places, ok: loaded.ok }).toEqual({ places: undefined, ok: false });
});

test("a file that is not there has no places", async () => {
  expect(await readPlaces("/nowhere/postern.yaml")).toBeUndefined();
});
