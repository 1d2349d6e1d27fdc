/** Asks a token endpoint over HTTPS, without any library. */
import { request } from "node:https";

import type { Simulator } from "../../src/simulator/simulator.ts";

/** An answer of the endpoint. */
export interface TokenAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Posts a form; `tenant` is the first part of the path. Rejects when the connection breaks. */
export function postTokenForm(simulator: Simulator, form: Record<string, string>, tenant = "contoso.com"): Promise<TokenAnswer> {
  return new Promise((resolve, reject) => {
    const call = request(
      `${simulator.authority}/${tenant}/oauth2/v2.0/token`,
      { method: "POST", ca: simulator.caPem, agent: false, headers: { "content-type": "application/x-www-form-urlencoded" } },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (piece: string) => (text += piece));
        response.on("end", () => {
          const isJson = response.headers["content-type"]?.startsWith("application/json") === true;
          resolve({ status: response.statusCode ?? 0, body: isJson ? (JSON.parse(text) as Record<string, unknown>) : { text } });
        });
      },
    );
    call.on("error", reject);
    call.end(new URLSearchParams(form).toString());
  });
}

/** The form of the simulator's first app with its first secret. */
export function secretForm(simulator: Simulator, scope = "https://outlook.office365.com/.default"): Record<string, string> {
  const app = simulator.tenant.apps[0];
  return { grant_type: "client_credentials", client_id: app?.clientId ?? "", client_secret: app?.secrets[0]?.value ?? "", scope };
}

/** An access token for the simulator's first app. */
export async function fetchToken(simulator: Simulator, scope?: string): Promise<string> {
  const { body } = await postTokenForm(simulator, secretForm(simulator, scope));
  return String(body["access_token"]);
}
