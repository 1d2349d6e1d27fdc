/** The operator's and monitoring's way in, as the daemon starts it. */
export type { Admin, AdminOptions, AdminPlace, PlacesToBe } from "./server.ts";
export { EventFeed } from "./event-feed.ts";
export type { AdminSources } from "./sources.ts";
export { startAdmin } from "./server.ts";
export { controlSocketPath } from "./control-socket.ts";
export type { ListenerView, Readiness, StatusView, UpstreamView } from "./views.ts";
