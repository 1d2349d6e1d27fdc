/**
 * What to do about an address that cannot be bound, as the end of the sentence that says so: `; another program …`, or nothing.
 *
 * @param error - what the bind failed with; a path that cannot be bound has no port in it
 */
export function bindRemedy(error: unknown): string {
  const { code, port = -1 } = error as NodeJS.ErrnoException & { readonly port?: number };
  switch (code) {
    case "EADDRINUSE":
      return port < 0 ? "" : `; another program listens there: ss -ltnp 'sport = :${port}' names it`;
    case "EACCES":
      return port < 0
        ? ""
        : "; ports below 1024 need the right to bind them: start it by systemd/postern.service, as root, or with CAP_NET_BIND_SERVICE";
    case "EADDRNOTAVAIL":
      return "; no interface of this machine has that address: ip -brief address shows those it has";
    default:
      return "";
  }
}
