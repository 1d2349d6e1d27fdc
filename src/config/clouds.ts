/** Hosts, scopes and names of Microsoft's clouds. */
import type { Cloud } from "./config.ts";

/** Where one cloud signs in, and takes mail. */
export interface CloudEndpoints {
  readonly authority: string;
  readonly submissionHost: string;
  /** Scopes of Exchange: for an application that signs in as itself, and for one that a person signed in. */
  readonly exchange: { readonly application: string; readonly delegated: string };
  readonly graphHost: string;
  /** What the hosts of the cloud's tenants end in, for incoming mail. */
  readonly mxSuffixes: readonly string[];
}

/**
 * GCC uses the worldwide hosts. https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
 * https://learn.microsoft.com/microsoft-365/enterprise/microsoft-365-u-s-government-gcc-high-endpoints and their siblings for DoD and 21Vianet;
 * Graph: https://learn.microsoft.com/graph/deployments. `mx.microsoft` is where domains accepted since July 2026 point to.
 */
const WORLDWIDE: CloudEndpoints = {
  authority: "https://login.microsoftonline.com",
  submissionHost: "smtp.office365.com",
  exchange: { application: "https://outlook.office365.com/.default", delegated: "https://outlook.office.com/SMTP.Send" },
  graphHost: "https://graph.microsoft.com",
  mxSuffixes: ["mail.protection.outlook.com", "mx.microsoft"],
};

export const CLOUD_ENDPOINTS: Readonly<Record<Cloud, CloudEndpoints>> = {
  worldwide: WORLDWIDE,
  gcc: WORLDWIDE,
  "gcc-high": {
    authority: "https://login.microsoftonline.us",
    submissionHost: "smtp.office365.us",
    exchange: { application: "https://outlook.office365.us/.default", delegated: "https://outlook.office365.us/SMTP.Send" },
    graphHost: "https://graph.microsoft.us",
    mxSuffixes: ["protection.office365.us"],
  },
  dod: {
    authority: "https://login.microsoftonline.us",
    submissionHost: "outlook-dod.office365.us",
    exchange: { application: "https://outlook-dod.office365.us/.default", delegated: "https://outlook-dod.office365.us/SMTP.Send" },
    graphHost: "https://dod-graph.microsoft.us",
    mxSuffixes: ["protection.office365.us", "protection.apps.mil"],
  },
  china: {
    authority: "https://login.partner.microsoftonline.cn",
    submissionHost: "smtp.partner.outlook.cn",
    exchange: { application: "https://partner.outlook.cn/.default", delegated: "https://partner.outlook.cn/SMTP.Send" },
    graphHost: "https://microsoftgraph.chinacloudapi.cn",
    mxSuffixes: ["mail.protection.partner.outlook.cn"],
  },
};

/** The scope of one cloud's service for a kind of credential; several are separated by spaces. */
export function scopeOf(cloud: Cloud, service: "exchange" | "graph", delegated: boolean): string {
  const { exchange, graphHost } = CLOUD_ENDPOINTS[cloud];
  if (service === "exchange") return delegated ? exchange.delegated : exchange.application;
  // Mail.Send.Shared: a person's sign-in may be for a shared mailbox.
  return delegated ? `${graphHost}/Mail.Send ${graphHost}/Mail.Send.Shared` : `${graphHost}/.default`;
}
