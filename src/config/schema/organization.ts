/** Who the mail belongs to. */
import { z } from "./engine.ts";
import { readTenant, readTimeZone } from "../values.ts";
import { about, address, domain, listOf, oneOf, text } from "./fields.ts";

export const CLOUDS = ["worldwide", "gcc", "gcc-high", "dod", "china"] as const;

export const tenant = () => text(readTenant, "tenant", "the tenant's id or one of its domains, such as contoso.onmicrosoft.com");

export const Organization = z.strictObject({
  tenant: about(tenant().optional(), {
    description:
      "Microsoft Entra tenant, as id or domain. Required where an upstream signs in with OAuth and its credential names no tenant of its own.",
    samples: ["contoso.onmicrosoft.com"],
    apply: "reload",
  }),
  cloud: about(oneOf(CLOUDS).prefault("worldwide"), {
    description: "Microsoft cloud of the tenant: it gives the sign-in service, the scope and the submission host.",
    apply: "reload",
  }),
  domains: about(listOf(domain()), {
    description:
      'Accepted domains: what "internal" means. The first completes addresses without a domain; "*.contoso.com" adds all subdomains.',
    samples: [["contoso.com"], ["contoso.com", "*.contoso.com"]],
    apply: "reload",
  }),
  postmaster: about(address(), {
    description: "Gets the reports that nobody else can receive.",
    samples: ["it@contoso.com"],
    apply: "reload",
  }),
  default_sender: about(address().optional(), {
    description: "Sender for devices that have no usable address of their own.",
    default_text: "organization.postmaster",
    samples: ["printers@contoso.com"],
    apply: "reload",
  }),
  time_zone: about(text(readTimeZone, "time zone", "a time zone such as Europe/Paris or UTC").optional(), {
    description: "Zone of the Date: that is added to messages without one, and of times that commands read and print. Logs are always UTC.",
    default_text: "the system's time zone",
    samples: ["Europe/Paris"],
    apply: "reload",
  }),
});
