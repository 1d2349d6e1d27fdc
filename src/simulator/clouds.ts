/** Microsoft's clouds: which hosts a tenant of each lives on. Tokens of one cloud open nothing in another. */

/** Resources that tokens of a cloud are for, without `/.default`. */
export interface CloudResources {
  /** Exchange Online's protocols: SMTP, and the delegated scopes beside it. */
  readonly mail: readonly string[];
  readonly graph: string;
  /** Host of the token endpoint. */
  readonly login: string;
}

/** By the names an administrator knows. */
export const CLOUDS = {
  worldwide: {
    mail: ["https://outlook.office365.com", "https://outlook.office.com"],
    graph: "https://graph.microsoft.com",
    login: "login.microsoftonline.com",
  },
  gcc: {
    mail: ["https://outlook.office365.com", "https://outlook.office.com"],
    graph: "https://graph.microsoft.com",
    login: "login.microsoftonline.com",
  },
  "gcc-high": {
    mail: ["https://outlook.office365.us"],
    graph: "https://graph.microsoft.us",
    login: "login.microsoftonline.us",
  },
  // Sources differ about the scope of this cloud, so both are taken.
  dod: {
    mail: ["https://outlook-dod.office365.us", "https://outlook.office365.us"],
    graph: "https://dod-graph.microsoft.us",
    login: "login.microsoftonline.us",
  },
  china: {
    mail: ["https://partner.outlook.cn"],
    graph: "https://microsoftgraph.chinacloudapi.cn",
    login: "login.partner.microsoftonline.cn",
  },
} as const satisfies Record<string, CloudResources>;

/** Name of a cloud. */
export type Cloud = keyof typeof CLOUDS;

/** Whether a name is one of a cloud. */
export function isCloud(name: string): name is Cloud {
  return Object.hasOwn(CLOUDS, name);
}

/** The hosts of a cloud. */
export function resourcesOf(cloud: Cloud): CloudResources {
  return CLOUDS[cloud];
}

/** Every resource that tokens of the cloud can be for. */
export function allResources(cloud: Cloud): readonly string[] {
  const { mail, graph } = resourcesOf(cloud);
  return [...mail, graph];
}
