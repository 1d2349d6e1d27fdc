/**
 * The configuration file: the one place that says which keys there are, what they may hold, what they mean and what they are when absent.
 * Types, validation, the JSON Schema for editors and the reference page come from here.
 */
import { z } from "./engine.ts";
import { Bounces, History, Hold, Queue, Retry, Routes } from "./deliver.ts";
import { Network } from "./door-fields.ts";
import { about, fqdn, path } from "./fields.ts";
import { Limits } from "./limits.ts";
import { Admin, Alerts, Log, Metrics } from "./operate.ts";
import { Organization } from "./organization.ts";
import { Clients, Listeners, Users } from "./receive.ts";
import { Upstreams } from "./upstreams.ts";

/** The file as a whole. Every value is checked by itself; what must agree with other keys is in `../agreement.ts`. */
export const ConfigFile = z.strictObject({
  hostname: about(fqdn(), {
    description: "Name of this relay in the banner, EHLO, Received: and Message-ID:. A full host name.",
    samples: ["relay.contoso.com"],
    apply: "restart",
  }),
  data_dir: about(path(), {
    description: "Folder for the queue and everything else that is kept. On a local file system.",
    samples: ["/var/lib/postern"],
    apply: "restart",
  }),
  organization: about(Organization, { description: "Who the mail belongs to." }),
  listeners: about(Listeners, { description: "Where mail comes in, by name; at least one." }),
  clients: about(Clients, { description: "Who may send mail through this relay, by name; at least one. Nobody else is let in." }),
  limits: about(Limits.prefault({}), {
    description: "What one device can make the relay do. Generous for a local network; listeners and clients may have their own.",
  }),
  users: about(Users.prefault({}), { description: "Who may sign in at listeners with auth, by name." }),
  upstreams: about(Upstreams, { description: "The ways out, by name; at least one." }),
  routes: Routes,
  retry: about(Retry.prefault({}), { description: "When a deferred delivery is tried again." }),
  hold: about(Hold.prefault({}), { description: "Mail that waits for a repair." }),
  bounces: about(Bounces.prefault({}), { description: "Reports about mail that could not be delivered." }),
  queue: about(Queue.prefault({}), { description: "Limits of the queue." }),
  history: about(History.prefault({}), { description: "What is remembered of messages that left." }),
  network: about(Network.prefault({}), { description: "How upstreams are reached." }),
  admin: about(Admin.prefault({}), { description: "HTTP for operators' programs and for monitoring." }),
  metrics: about(Metrics.prefault({}), { description: "HTTP for monitoring." }),
  alerts: about(Alerts.prefault({}), { description: "Who is told when something needs a person." }),
  log: about(Log.prefault({}), { description: "The log on standard output." }),
});

/** What the schema makes of a file: durations in ms, sizes in octets, lists as lists; paths and derived defaults as they are. */
export type ParsedFile = z.output<typeof ConfigFile>;
