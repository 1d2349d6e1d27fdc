/** `/reload`: the configuration file is read again. */
import { RequestFault } from "../fault.ts";
import { z } from "./engine.ts";
import { list } from "./fields.ts";
import { jsonRoute, type Route } from "./route.ts";

export const RELOAD_ROUTES: readonly Route[] = [
  jsonRoute(
    {
      method: "post",
      path: "/reload",
      role: "administrator",
      summary: "Read the configuration again, and take up what is right",
      acts: true,
      answer: z.strictObject({
        ok: z.literal(true),
        changed: list(z.string()).describe("Keys whose new values are in force."),
        restart: list(z.string()).describe("Keys that need a restart."),
        warnings: list(z.string()),
      }),
      faults: { 422: "The file has faults, one line each in `faults`; nothing has changed." },
    },
    async ({ reloads }, { operator }) => {
      const answer = await reloads.reload(operator.name);
      if (!answer.ok) throw new RequestFault(422, "E_CONFIG", answer.faults.join("\n"), answer);
      return answer;
    },
  ),
];
