/** Names that options take: one that is nobody's is a slip of the pen, not a list in which nothing fits. */
import { nearest } from "../config/nearest.ts";
import { readNames } from "../config/places.ts";
import { PosternError } from "../mail/errors.ts";

const SECTION = { "--upstream": "upstreams", "--client": "clients" } as const;

/**
 * @param elsewhere - where a name that the configuration does not have any more may still stand, and whether it does
 * @throws PosternError E_USAGE
 */
export async function checkName(
  configPath: string,
  option: keyof typeof SECTION,
  name: string | undefined,
  elsewhere: { readonly place: string; readonly has: (name: string) => boolean | Promise<boolean> },
): Promise<void> {
  if (name === undefined) return;
  const known = await readNames(configPath, SECTION[option]);
  if (known === undefined || known.includes(name) || (await elsewhere.has(name))) return;
  const near = nearest(name, known);
  const hint = near === undefined ? `known: ${known.join(", ")}` : `did you mean ${near}?`;
  throw new PosternError("E_USAGE", `${option}: ${JSON.stringify(name)} is neither in the configuration nor ${elsewhere.place}; ${hint}`);
}
