/** `/api/v1/alerts`: what needs a person. */
import type { Hono } from "hono";
import type { OpenAlert } from "../../observe/alerts/alert.ts";

/** The alerts as the API shows them. */
export interface AlertSource {
  /** What is open, the oldest first. */
  list(): readonly OpenAlert[];
}

export function addAlertRoutes(app: Hono, alerts: AlertSource): void {
  app.get("/api/v1/alerts", (c) => c.json({ alerts: alerts.list() }));
}
