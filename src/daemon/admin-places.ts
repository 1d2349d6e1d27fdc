/** Where the API and monitoring answer, from the configuration. */
import type { Admin, AdminPlace } from "../admin/admin.ts";
import type { Config } from "../config/config.ts";
import type { Receiver } from "../receive/receiver.ts";
import { secureContextOptions } from "../receive/tls.ts";
import { ADMIN_CERTIFICATE, type ListenerCertificates } from "./certificates.ts";

/** `admin.listen`, then `metrics.listen` where there is one. */
export function adminPlaces({ admin, metrics }: Config, certificates: ListenerCertificates): AdminPlace[] {
  const certificate = certificates.of(ADMIN_CERTIFICATE);
  const tls = certificate === undefined ? undefined : secureContextOptions(certificate);
  return [
    { host: admin.listen.host, port: admin.listen.port, api: true, tls },
    ...(metrics.listen === undefined ? [] : [{ host: metrics.listen.host, port: metrics.listen.port, api: false }]),
  ];
}

/** Shows a new certificate where it belongs. */
export function presentTo(receiver: Pick<Receiver, "present">, admin: Pick<Admin, "present">): Pick<Receiver, "present"> {
  return {
    present: (name, certificates) => {
      if (name === ADMIN_CERTIFICATE) admin.present(secureContextOptions(certificates));
      else receiver.present(name, certificates);
    },
  };
}
