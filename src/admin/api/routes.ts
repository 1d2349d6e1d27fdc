/** All routes of the API, in the order in which its description shows them. */
import { ALERT_ROUTES } from "./alerts.ts";
import { DEVICE_ROUTES } from "./devices.ts";
import { EVENT_ROUTES } from "./events.ts";
import { DOCTOR_ROUTES } from "./doctor.ts";
import { MESSAGE_ROUTES } from "./messages.ts";
import { QUEUE_ROUTES } from "./queue.ts";
import { RELOAD_ROUTES } from "./reload.ts";
import { described } from "./openapi.ts";
import type { Route } from "./route.ts";
import { STATUS_ROUTES } from "./status.ts";
import { TEST_ROUTES } from "./test.ts";
import { TOKEN_ROUTES } from "./tokens.ts";
import { TRANSCRIPT_ROUTES } from "./transcripts.ts";

export const ROUTES: readonly Route[] = described([
  ...STATUS_ROUTES,
  ...QUEUE_ROUTES,
  ...MESSAGE_ROUTES,
  ...TRANSCRIPT_ROUTES,
  ...DEVICE_ROUTES,
  ...ALERT_ROUTES,
  ...TEST_ROUTES,
  ...DOCTOR_ROUTES,
  ...EVENT_ROUTES,
  ...RELOAD_ROUTES,
  ...TOKEN_ROUTES,
]);
