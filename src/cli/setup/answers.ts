/** What `postern setup` needs to know, from a file or from questions, and how each answer is checked. */
import { BlockList, isIPv4 } from "node:net";
import { readNetwork } from "../../config/network.ts";
import { readAddress, readDate, readDomain, readEndpoint, readFqdn, readTenant, readTimeZone, type Read } from "../../config/values.ts";

export const DOORS = ["mailbox", "graph", "connector-certificate", "connector-address", "direct-send", "high-volume"] as const;
export type DoorKind = (typeof DOORS)[number];

/** How the application signs in at Entra. */
export const CREDENTIALS = ["secret", "certificate", "device-code"] as const;
export type CredentialKind = (typeof CREDENTIALS)[number];

/** Everything the assistant writes is made from this. */
export interface Answers {
  readonly hostname: string;
  readonly dataDir: string;
  readonly domains: readonly string[];
  readonly postmaster: string;
  readonly defaultSender: string;
  readonly timeZone: string | undefined;
  readonly listen: readonly string[];
  readonly networks: readonly string[];
  readonly recipients: "internal" | "any";
  /** Old devices that know only TLS 1.0 or none get STARTTLS offered down to this. */
  readonly oldTls: boolean;
  /** In order of preference; the first is used while it is open. */
  readonly doors: readonly DoorKind[];
  /** Present where an application signs in. */
  readonly tenant: string | undefined;
  readonly mailbox: string | undefined;
  /** Present with High Volume Email, whose accounts are no mailboxes. */
  readonly volumeAccount: string | undefined;
  readonly clientId: string | undefined;
  readonly credential: CredentialKind;
  /** Last day of the client secret. */
  readonly secretExpires: string | undefined;
  /** Fixed public address of this network; undefined where there is none, or it is not known. */
  readonly publicAddress: string | undefined;
  /** Files that the configuration names, as written there: relative ones start at its folder. */
  readonly files: {
    readonly secret: string;
    readonly certificate: string;
    readonly key: string;
    readonly connectorCertificate: string;
    readonly connectorKey: string;
    readonly volumePassword: string;
  };
  /** Keys of upstreams that replace what is written, by upstream: for a stand-in, another cloud, a host of one's own. */
  readonly overrides: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** One question. `ask` tells whether it matters, given what was answered before. */
export interface Question {
  /** Its key in an answers file. */
  readonly key: string;
  readonly text: string;
  /** What one should know to answer it. */
  readonly help: string;
  readonly list: boolean;
  readonly fallback?: ((given: Given) => string | undefined) | undefined;
  readonly optional?: boolean | undefined;
  readonly ask?: ((given: Given) => boolean) | undefined;
  readonly read: (text: string) => Read<string>;
}

/** Answers so far: texts and lists of texts, each checked. */
export type Given = Readonly<Record<string, readonly string[]>>;

const one = (given: Given, key: string): string | undefined => given[key]?.[0];
const doorsOf = (given: Given): readonly string[] => given["doors"] ?? [];
const signsIn = (given: Given): boolean => doorsOf(given).some((door) => door === "mailbox" || door === "graph");
const hasVolume = (given: Given): boolean => doorsOf(given).includes("high-volume");
/** The first domain that is one by itself, to make names and addresses in. */
const mainDomain = (given: Given): string | undefined => given["domains"]?.find((domain) => !domain.startsWith("*."));
const addressIn = (given: Given, local: string): string | undefined => {
  const domain = mainDomain(given);
  return domain === undefined ? undefined : `${local}@${domain}`;
};
const onPort25 = (given: Given): boolean => doorsOf(given).some((door) => door.startsWith("connector") || door === "direct-send");

const word =
  (words: readonly string[]) =>
  (text: string): Read<string> => {
    const said = text.toLowerCase();
    return words.includes(said) ? { value: said } : { expected: `one of: ${words.join(", ")}` };
  };

const yesOrNo = (text: string): Read<string> => word(["yes", "no"])(text.replace(/^y$/i, "yes").replace(/^n$/i, "no"));

const network = (text: string): Read<string> => {
  const read = readNetwork(text);
  return "value" in read ? { value: read.value.text } : read;
};

/** Addresses that the Internet never sees: behind one of them is another, which is meant. */
const INSIDE = new BlockList();
for (const [net, prefix] of [
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
] as const)
  INSIDE.addSubnet(net, prefix);

const publicAddress = (text: string): Read<string> =>
  isIPv4(text) && !INSIDE.check(text) ? { value: text } : { expected: "a public IPv4 address, as the Internet sees this network" };

const endpoint = (text: string): Read<string> => {
  const read = readEndpoint(text);
  return "value" in read ? { value: text } : read;
};

const line = (text: string): Read<string> => (/^[^\p{Cc}]{1,300}$/u.test(text) ? { value: text } : { expected: "a text on one line" });

/** In the order in which they are asked. */
export const QUESTIONS: readonly Question[] = [
  {
    key: "domains",
    text: "Your domains in Microsoft 365",
    help: "The accepted domains, the main one first. Mail to them is internal, everything else external.",
    list: true,
    read: readDomain,
  },
  {
    key: "hostname",
    text: "Name of this relay",
    help: "A full host name that devices and Microsoft see. It need not exist in the public DNS.",
    list: false,
    fallback: (given) => (mainDomain(given) === undefined ? undefined : `relay.${mainDomain(given)}`),
    read: readFqdn,
  },
  {
    key: "postmaster",
    text: "Who gets reports that nobody else can receive",
    help: "A mailbox that somebody reads, usually IT's.",
    list: false,
    fallback: (given) => addressIn(given, "it"),
    read: readAddress,
  },
  {
    key: "networks",
    text: "Networks or addresses of your devices",
    help: "Only these may send: 10.20.0.0/16, or single addresses. Keep it as narrow as you can.",
    list: true,
    read: network,
  },
  {
    key: "recipients",
    text: "To whom devices may send",
    help: "internal: your own domains only. any: the whole world, for invoices and orders.",
    list: false,
    fallback: () => "internal",
    read: word(["internal", "any"]),
  },
  {
    key: "old_tls",
    text: "Are there old devices that insist on TLS and know only version 1.0",
    help: "yes offers STARTTLS down to TLS 1.0 to devices; no offers none, which suits most printers. Towards Microsoft it is always 1.2 or newer.",
    list: false,
    fallback: () => "no",
    read: yesOrNo,
  },
  {
    key: "doors",
    text: "Ways out into Microsoft 365, the preferred one first",
    help: [
      "mailbox: one mailbox signs in (SMTP AUTH with OAuth). To anybody; 30 messages a minute, 10,000 recipients a day. Nothing to open but port 587.",
      "graph: the same mailbox over HTTPS. To anybody; messages up to about 2 MB. A good second door.",
      "connector-certificate: port 25, known by a certificate of a public authority. To anybody, as any sender; no daily limit of a mailbox.",
      "connector-address: port 25, known by your fixed public address. To anybody, as any sender of your domains.",
      "direct-send: port 25 without anything. To your own mailboxes only; passes the spam filter.",
      "high-volume: an account for High Volume Email. To your own mailboxes only, 50 recipients a message.",
    ].join("\n"),
    list: true,
    fallback: () => "mailbox",
    read: word(DOORS),
  },
  {
    key: "tenant",
    text: "Your tenant",
    help: "Its id or one of its domains, such as contoso.onmicrosoft.com.",
    list: false,
    ask: signsIn,
    read: readTenant,
  },
  {
    key: "mailbox",
    text: "The mailbox that sends",
    help: "A shared mailbox of its own is best: other programs on it share the limits.",
    list: false,
    ask: signsIn,
    fallback: (given) => addressIn(given, "scanner"),
    read: readAddress,
  },
  {
    key: "volume_account",
    text: "The account for High Volume Email",
    help: "Made for it in the Exchange admin center, with an address of its own; a mailbox cannot be one.",
    list: false,
    ask: hasVolume,
    fallback: (given) => addressIn(given, "notifications"),
    read: readAddress,
  },
  {
    key: "default_sender",
    text: "Sender for devices that have no usable address of their own",
    help: "Where a mailbox or an account sends, that one.",
    list: false,
    fallback: (given) => one(given, "mailbox") ?? one(given, "volume_account") ?? one(given, "postmaster"),
    read: readAddress,
  },
  {
    key: "credential",
    text: "How the application signs in",
    help: "certificate: keys are made here, you upload the certificate; nothing secret travels. secret: you copy a value from Entra. device-code: a person signs in once.",
    list: false,
    ask: signsIn,
    fallback: () => "certificate",
    read: word(CREDENTIALS),
  },
  {
    key: "client_id",
    text: "Application (client) ID of the app registration",
    help: "Not made yet? Leave it empty: it is written as a place to fill in.",
    list: false,
    optional: true,
    ask: signsIn,
    read: (text) =>
      /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)
        ? { value: text.toLowerCase() }
        : { expected: "an id such as 11111111-2222-3333-4444-555555555555" },
  },
  {
    key: "secret_expires",
    text: "Last day of the client secret",
    help: "As the portal shows it; Postern reminds you in time.",
    list: false,
    optional: true,
    ask: (given) => signsIn(given) && one(given, "credential") === "secret",
    read: (text) => {
      const read = readDate(text);
      return "value" in read ? { value: text } : read;
    },
  },
  {
    key: "secret_file",
    text: "File for the client secret",
    help: "Put the value of the secret there; only the service may read it.",
    list: false,
    ask: (given) => signsIn(given) && one(given, "credential") === "secret",
    fallback: () => "secrets/entra-secret",
    read: line,
  },
  {
    key: "connector_certificate",
    text: "File with the connector's certificate and its intermediates (PEM)",
    help: "From a public authority, for a name in one of your domains. Your ACME client may replace it at any time.",
    list: false,
    ask: (given) => doorsOf(given).includes("connector-certificate"),
    fallback: () => "certs/connector-fullchain.pem",
    read: line,
  },
  {
    key: "connector_key",
    text: "File with its private key",
    help: "PEM.",
    list: false,
    ask: (given) => doorsOf(given).includes("connector-certificate"),
    fallback: () => "certs/connector.key",
    read: line,
  },
  {
    key: "volume_password_file",
    text: "File with the password of the High Volume Email account",
    help: "Only the service may read it.",
    list: false,
    ask: hasVolume,
    fallback: () => "secrets/high-volume-password",
    read: line,
  },
  {
    key: "public_address",
    text: "The fixed public IPv4 address of this network",
    help: "For the connector and for SPF. https://aka.ms/smtprelay and postern doctor show what Microsoft sees.",
    list: false,
    optional: true,
    ask: onPort25,
    read: publicAddress,
  },
  {
    key: "time_zone",
    text: "Time zone",
    help: "For dates in mail without one, and for the commands.",
    list: false,
    optional: true,
    fallback: () => new Intl.DateTimeFormat().resolvedOptions().timeZone,
    read: readTimeZone,
  },
  {
    key: "listen",
    text: "Where devices reach this relay",
    help: "An address and port, or several; :25 is every address of this machine.",
    list: true,
    fallback: () => ":25",
    read: endpoint,
  },
  {
    key: "data_dir",
    text: "Folder for the queue",
    help: "On a local disk.",
    list: false,
    fallback: () => "/var/lib/postern",
    read: line,
  },
];

/** Puts checked answers together. */
export function toAnswers(given: Given, overrides: Answers["overrides"]): Answers {
  const all = (key: string): readonly string[] => given[key] ?? [];
  const need = (key: string): string => one(given, key) ?? "";
  return {
    hostname: need("hostname"),
    dataDir: need("data_dir"),
    // The main one is a plain domain: it completes addresses without one.
    domains: all("domains").toSorted((a, b) => Number(a.startsWith("*.")) - Number(b.startsWith("*."))),
    postmaster: need("postmaster"),
    defaultSender: need("default_sender"),
    timeZone: one(given, "time_zone"),
    listen: all("listen"),
    networks: all("networks"),
    recipients: need("recipients") === "any" ? "any" : "internal",
    oldTls: need("old_tls") === "yes",
    doors: DOORS.filter((door) => all("doors").includes(door)).toSorted((a, b) => all("doors").indexOf(a) - all("doors").indexOf(b)),
    tenant: one(given, "tenant"),
    mailbox: one(given, "mailbox"),
    volumeAccount: one(given, "volume_account"),
    clientId: one(given, "client_id"),
    credential: CREDENTIALS.find((kind) => kind === need("credential")) ?? "certificate",
    secretExpires: one(given, "secret_expires"),
    publicAddress: one(given, "public_address"),
    files: {
      secret: need("secret_file"),
      certificate: "certs/entra.pem",
      key: "certs/entra.key",
      connectorCertificate: need("connector_certificate"),
      connectorKey: need("connector_key"),
      volumePassword: need("volume_password_file"),
    },
    overrides,
  };
}
