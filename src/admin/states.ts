import type { RecipientState } from "../mail/message.ts";
import { TERMINAL_STATES, WAITING_STATES } from "../mail/message.ts";

/** All states of a recipient, waiting ones first. */
export const RECIPIENT_STATES: readonly RecipientState[] = [...WAITING_STATES, ...TERMINAL_STATES];
