/** Hosts and scopes of Microsoft's clouds, for applications that submit mail. */
import type { Cloud } from "./config.ts";

/** Where one cloud signs applications in, and takes their mail. */
export interface CloudEndpoints {
  readonly authority: string;
  readonly scope: string;
  readonly submissionHost: string;
}

/**
 * GCC uses the worldwide hosts. https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
 * https://learn.microsoft.com/microsoft-365/enterprise/microsoft-365-u-s-government-gcc-high-endpoints and their siblings for DoD and 21Vianet.
 */
const WORLDWIDE: CloudEndpoints = {
  authority: "https://login.microsoftonline.com",
  scope: "https://outlook.office365.com/.default",
  submissionHost: "smtp.office365.com",
};

export const CLOUD_ENDPOINTS: Readonly<Record<Cloud, CloudEndpoints>> = {
  worldwide: WORLDWIDE,
  gcc: WORLDWIDE,
  "gcc-high": {
    authority: "https://login.microsoftonline.us",
    scope: "https://outlook.office365.us/.default",
    submissionHost: "smtp.office365.us",
  },
  dod: {
    authority: "https://login.microsoftonline.us",
    scope: "https://outlook-dod.office365.us/.default",
    submissionHost: "outlook-dod.office365.us",
  },
  china: {
    authority: "https://login.partner.microsoftonline.cn",
    scope: "https://partner.outlook.cn/.default",
    submissionHost: "smtp.partner.outlook.cn",
  },
};
