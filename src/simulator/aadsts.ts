/** The errors of the token endpoint: number, OAuth error, HTTP status and words as Entra has them. */

/** One AADSTS error. `text` may hold `{name}` places. */
export interface EntraErrorDefinition {
  readonly error: string;
  readonly status: number;
  readonly text: string;
  /** In plain words, where it can be switched on as a fault. */
  readonly meaning?: string;
}

export const ENTRA_ERRORS: Readonly<Record<number, EntraErrorDefinition>> = {
  28000: {
    error: "invalid_request",
    status: 400,
    text: "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope {scope} is not valid.",
  },
  650053: {
    error: "invalid_client",
    status: 400,
    text: "The application asked for scope '{scope}' that doesn't exist on the resource '{resource}'. Contact the app vendor.",
  },
  50012: { error: "invalid_client", status: 401, text: "Authentication failed.", meaning: "the signature of the assertion is refused" },
  50027: { error: "invalid_client", status: 401, text: "JWT token is invalid or malformed." },
  50033: {
    error: "temporarily_unavailable",
    status: 503,
    text: "A retryable error has occurred. Please try again.",
    meaning: "a transient error of the directory",
  },
  50034: {
    error: "invalid_grant",
    status: 400,
    text: "The user account {user} does not exist in the {tenant} directory. To sign into this application, the account must be added to the directory.",
    meaning: "the user is unknown",
  },
  50053: {
    error: "invalid_grant",
    status: 400,
    text: "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.",
    meaning: "the account is locked, or the address is malicious",
  },
  50055: { error: "invalid_grant", status: 400, text: "The password is expired.", meaning: "the password has expired" },
  50057: { error: "invalid_grant", status: 400, text: "The user account is disabled.", meaning: "the user is disabled" },
  50076: {
    error: "interaction_required",
    status: 400,
    text: "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '{resource}'.",
    meaning: "a second factor is needed",
  },
  50079: {
    error: "interaction_required",
    status: 400,
    text: "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access '{resource}'.",
    meaning: "a second factor has to be set up",
  },
  50126: {
    error: "invalid_grant",
    status: 400,
    text: "Error validating credentials due to invalid username or password.",
    meaning: "wrong password",
  },
  50173: {
    error: "invalid_grant",
    status: 400,
    text: "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password. The grant was issued on '{issued}' and the TokensValidFrom date (before which tokens are not valid) for this user is '{validFrom}'.",
    meaning: "the refresh token was revoked",
  },
  50196: {
    error: "invalid_request",
    status: 400,
    text: "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.",
    meaning: "a request loop: the token is not cached",
  },
  53003: {
    error: "invalid_grant",
    status: 400,
    text: "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    meaning: "conditional access blocks the sign-in",
  },
  65001: {
    error: "invalid_grant",
    status: 400,
    text: "The user or administrator has not consented to use the application with ID '{client}' named '{name}'. Send an interactive authorization request for this user and resource.",
    meaning: "consent is missing",
  },
  70000: { error: "invalid_grant", status: 400, text: "The provided value for the input parameter '{parameter}' is not valid." },
  70003: { error: "unsupported_grant_type", status: 400, text: "The app requested an unsupported grant type '{grant}'." },
  70008: {
    error: "invalid_grant",
    status: 400,
    text: "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.",
    meaning: "the refresh token has expired",
  },
  70011: {
    error: "invalid_scope",
    status: 400,
    text: "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid.",
    meaning: "the scope is not valid",
  },
  70016: {
    error: "authorization_pending",
    status: 400,
    text: "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
    meaning: "the device code is still pending",
  },
  70018: {
    error: "bad_verification_code",
    status: 400,
    text: "The device_code that was sent to the token endpoint was not recognized.",
    meaning: "the device code is not recognized",
  },
  70019: {
    error: "expired_token",
    status: 400,
    text: "Verification code expired. Have the user retry the sign-in.",
    meaning: "the device code has expired",
  },
  70020: {
    error: "expired_token",
    status: 400,
    text: "The provided value for the input parameter 'device_code' is not valid. This device code has expired.",
  },
  70022: {
    error: "authorization_declined",
    status: 400,
    text: "The end user denied the authorization request.",
    meaning: "the user declined",
  },
  70043: {
    error: "invalid_grant",
    status: 400,
    text: "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access. The token was issued on {issued} and the maximum allowed lifetime for this request is {lifetime}.",
    meaning: "conditional access wants a new sign-in",
  },
  90002: {
    error: "invalid_request",
    status: 400,
    text: "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.",
    meaning: "there is no such tenant",
  },
  90006: {
    error: "temporarily_unavailable",
    status: 503,
    text: "The service is temporarily unavailable. Please retry later.",
    meaning: "the service is temporarily unavailable",
  },
  90024: {
    error: "temporarily_unavailable",
    status: 503,
    text: "RequestBudgetExceededError - A transient error has occurred. Please try again.",
    meaning: "a transient error: the request took too long inside",
  },
  90033: {
    error: "temporarily_unavailable",
    status: 503,
    text: "A transient error has occurred. Please try again.",
    meaning: "a transient error",
  },
  90038: {
    error: "invalid_request",
    status: 400,
    text: "Tenant '{tenant}' request is being redirected to the National Cloud 'MicrosoftOnline.US'.",
    meaning: "the tenant lives in another cloud",
  },
  90055: {
    error: "temporarily_unavailable",
    status: 429,
    text: "The server is busy. Too many requests of the tenant.",
    meaning: "too many requests of the tenant",
  },
  90094: {
    error: "invalid_grant",
    status: 400,
    text: "The grant requires administrator permission.",
    meaning: "an administrator has to consent",
  },
  500011: {
    error: "invalid_resource",
    status: 400,
    text: "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.",
    meaning: "the resource is not known in the tenant: scope of another cloud",
  },
  530032: { error: "invalid_grant", status: 400, text: "Blocked by security policy.", meaning: "a security policy blocks the sign-in" },
  530035: {
    error: "invalid_grant",
    status: 400,
    text: "Access has been blocked by security defaults. This is due to the request being deemed unsafe by security defaults policies.",
    meaning: "security defaults block the sign-in",
  },
  700011: {
    error: "unauthorized_client",
    status: 400,
    text: "Application with identifier {client} was not found in the directory.",
    meaning: "the app is not in the directory",
  },
  700016: {
    error: "unauthorized_client",
    status: 400,
    text: "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
    meaning: "the app is not in this tenant",
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
    meaning: "the assertion is outside its time range: the clock is wrong",
  },
  700027: {
    error: "invalid_client",
    status: 401,
    text: "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - {reason}]",
    meaning: "the certificate is not uploaded to the app",
  },
  700030: {
    error: "invalid_client",
    status: 401,
    text: "Invalid certificate - subject name in certificate is not authorized or the certificate has expired.",
    meaning: "the certificate is not valid",
  },
  700082: {
    error: "invalid_grant",
    status: 400,
    text: "The refresh token has expired due to inactivity. The token was issued on {issued} and was inactive for {inactive}.",
    meaning: "the refresh token was not used for 90 days",
  },
  900144: { error: "invalid_request", status: 400, text: "The request body must contain the following parameter: '{parameter}'." },
  7000112: {
    error: "unauthorized_client",
    status: 400,
    text: "Application '{client}'({name}) is disabled.",
    meaning: "the app is disabled",
  },
  7000215: {
    error: "invalid_client",
    status: 401,
    text: "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'.",
    meaning: "wrong secret",
  },
  7000218: {
    error: "invalid_client",
    status: 401,
    text: "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    meaning: "no secret and no assertion",
  },
  7000222: {
    error: "invalid_client",
    status: 401,
    text: "The provided client secret keys for app '{client}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.",
    meaning: "the secret has expired",
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
