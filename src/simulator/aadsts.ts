/** The errors of the token endpoint: number, OAuth error, HTTP status and words as Entra has them. */

/** One AADSTS error. `text` may hold `{name}` places. */
export interface EntraErrorDefinition {
  readonly error: string;
  readonly status: number;
  readonly text: string;
}

export const ENTRA_ERRORS: Readonly<Record<number, EntraErrorDefinition>> = {
  50027: { error: "invalid_client", status: 401, text: "JWT token is invalid or malformed." },
  53003: {
    error: "invalid_grant",
    status: 400,
    text: "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
  },
  70003: { error: "unsupported_grant_type", status: 400, text: "The app requested an unsupported grant type '{grant}'." },
  70011: {
    error: "invalid_scope",
    status: 400,
    text: "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid.",
  },
  90002: {
    error: "invalid_request",
    status: 400,
    text: "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.",
  },
  90033: { error: "temporarily_unavailable", status: 503, text: "A transient error has occurred. Please try again." },
  90055: { error: "temporarily_unavailable", status: 429, text: "The server is busy. Too many requests of the tenant." },
  500011: {
    error: "invalid_resource",
    status: 400,
    text: "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.",
  },
  700016: {
    error: "unauthorized_client",
    status: 400,
    text: "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
  },
  700023: {
    error: "invalid_client",
    status: 401,
    text: "Client assertion audience claim does not match Realm issuer. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
  },
  700024: {
    error: "invalid_client",
    status: 401,
    text: "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {from}, expiry time of assertion {to}. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
  },
  700027: {
    error: "invalid_client",
    status: 401,
    text: "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - {reason}]",
  },
  700030: {
    error: "invalid_client",
    status: 401,
    text: "Invalid certificate - subject name in certificate is not authorized or the certificate has expired.",
  },
  900144: { error: "invalid_request", status: 400, text: "The request body must contain the following parameter: '{parameter}'." },
  7000112: { error: "unauthorized_client", status: 400, text: "Application '{client}'({name}) is disabled." },
  7000215: {
    error: "invalid_client",
    status: 401,
    text: "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'.",
  },
  7000218: {
    error: "invalid_client",
    status: 401,
    text: "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
  },
  7000222: {
    error: "invalid_client",
    status: 401,
    text: "The provided client secret keys for app '{client}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.",
  },
};

/** A refusal of the token endpoint. */
export class EntraRefusal extends Error {
  readonly code: number;
  readonly definition: EntraErrorDefinition;

  constructor(code: number, values: Readonly<Record<string, string>> = {}) {
    const definition = ENTRA_ERRORS[code];
    if (definition === undefined) throw new Error(`AADSTS${code} is not in the table`);
    super(`AADSTS${code}: ${definition.text.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "")}`);
    this.code = code;
    this.definition = definition;
  }
}

/** A time as Entra writes it: `2026-11-22 09:30:00Z`. */
export function entraTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")}Z`;
}
