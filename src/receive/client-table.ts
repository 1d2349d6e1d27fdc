/** The clients of one listener by network. The accept layer and `explain` look an address up in the same table. */
import { NetworkTable } from "./networks.ts";
import type { ClientOptions } from "./options.ts";

/** @throws Error for a network that cannot be read or is listed twice */
export function clientTable(clients: readonly ClientOptions[], listener: string): NetworkTable<ClientOptions> {
  const table = new NetworkTable<ClientOptions>();
  for (const client of clients) {
    if (client.listeners !== undefined && !client.listeners.includes(listener)) continue;
    for (const network of client.networks) table.add(network, client);
  }
  return table;
}
