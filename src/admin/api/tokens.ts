/** `/tokens`: who may use the API. */
import { ROLES } from "../../access/token.ts";
import { RequestFault } from "../fault.ts";
import { z } from "./engine.ts";
import { list, moment, text, time } from "./fields.ts";
import { jsonRoute, type Route } from "./route.ts";

const Token = z
  .strictObject({
    name: z.string(),
    role: z.enum(ROLES),
    createdAt: time("When it was added."),
    createdBy: z.string().describe("Who added it."),
    expiresAt: time("When it ends; absent: never.").optional(),
    lastUsedAt: time("The hour in which it was last used; absent: never.").optional(),
  })
  .meta({ id: "Token", description: "A token; what it was made of is not kept." });

export const TOKEN_ROUTES: readonly Route[] = [
  jsonRoute(
    {
      method: "get",
      path: "/tokens",
      role: "administrator",
      summary: "Tokens, in the order of adding",
      answer: z.strictObject({ tokens: list(Token) }),
    },
    async ({ tokens }) => ({ tokens: await tokens.list() }),
  ),
  jsonRoute(
    {
      method: "post",
      path: "/tokens/add",
      role: "administrator",
      summary: "Make a token",
      description: "This answer is the only place that ever shows it.",
      acts: true,
      body: z.strictObject({
        name: text("Its name: who acts, in log and history."),
        role: z.enum(ROLES, { error: () => `expected one of: ${ROLES.join(", ")}` }),
        expiresAt: moment("When it ends; absent: never.").optional(),
      }),
      answer: z.strictObject({ token: z.string().describe("The token itself."), view: Token }),
    },
    async ({ tokens, clock }, { body: { name, role, expiresAt }, operator }) => {
      if (expiresAt !== undefined && expiresAt <= clock.now())
        throw new RequestFault(400, "expiresAt", "expiresAt: expected a time to come");
      return await tokens.add({ name, role, expiresAt, by: operator.name });
    },
  ),
  jsonRoute(
    {
      method: "post",
      path: "/tokens/revoke",
      role: "administrator",
      summary: "Take a token back, at once",
      acts: true,
      body: z.strictObject({ name: text("Its name.") }),
      answer: z.strictObject({ name: z.string() }),
      faults: { 404: "There is no token of this name." },
    },
    async ({ tokens }, { body: { name }, operator }) => {
      if (!(await tokens.revoke(name, operator.name)))
        throw new RequestFault(404, "E_NO_SUCH_TOKEN", `there is no token ${name.slice(0, 63)}`);
      return { name };
    },
  ),
];
