import { TERMINAL_STATES, WAITING_STATES } from "../mail/message.ts";

/** All states of a recipient, waiting ones first. */
export const RECIPIENT_STATES = [...WAITING_STATES, ...TERMINAL_STATES] as const;
