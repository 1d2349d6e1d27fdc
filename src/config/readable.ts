/** A file as far as it could be read. */
import type { Named } from "./disagreement.ts";
import type { ParsedFile } from "./schema/index.ts";

/** What could be read of a file: of a faulty one, the sections and entries that are right by themselves. */
export interface Readable {
  readonly organization?: ParsedFile["organization"] | undefined;
  readonly listeners: Named<ParsedFile["listeners"][string]>;
  readonly clients: Named<ParsedFile["clients"][string]>;
  /** Undefined where the section is faulty. */
  readonly users?: ParsedFile["users"] | undefined;
  readonly upstreams: Named<ParsedFile["upstreams"][string]>;
  /** By position; undefined where one is faulty. */
  readonly routes: readonly (ParsedFile["routes"][number] | undefined)[];
  readonly retry?: ParsedFile["retry"] | undefined;
  readonly admin?: ParsedFile["admin"] | undefined;
  readonly alerts?: ParsedFile["alerts"] | undefined;
  readonly metrics?: ParsedFile["metrics"] | undefined;
  /** All names in the file, faulty entries included; undefined where the section itself is missing or no mapping. */
  readonly names: {
    readonly listeners?: readonly string[] | undefined;
    readonly clients?: readonly string[] | undefined;
    readonly upstreams?: readonly string[] | undefined;
  };
  /** False where the list of routes is missing or no list. */
  readonly hasRoutes: boolean;
}
