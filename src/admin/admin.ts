/** The operator's and monitoring's way in, as the daemon starts it. */
export type { Admin, AdminOptions } from "./server.ts";
export type { AdminSources } from "./apps.ts";
export { startAdmin } from "./server.ts";
export { controlSocketPath } from "./control-socket.ts";
export type { ListenerView, Readiness, StatusView, UpstreamView } from "./views.ts";
