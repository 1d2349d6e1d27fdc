/**
 * The table of faults: name, protocol stage, and what the other side then says or does. Replies are Microsoft's words as published or
 * logged; `row` is the number in the catalogue of Microsoft's errors. Where a catalogue entry is cut with an ellipsis, the tail is
 * the usual text of the same error.
 */
import type { FaultDefinition } from "./fault-model.ts";
import { AUTH_FAULTS } from "./faults-auth.ts";
import { ENTRA_FAULTS } from "./faults-entra.ts";
import { FINAL_FAULTS } from "./faults-final.ts";
import { MX_FAULTS } from "./faults-mx.ts";
import { GRAPH_FAULTS } from "./faults-graph.ts";
import { SESSION_FAULTS } from "./faults-session.ts";
import { TRANSACTION_FAULTS } from "./faults-transaction.ts";

export const FAULTS: readonly FaultDefinition[] = [
  ...SESSION_FAULTS,
  ...AUTH_FAULTS,
  ...TRANSACTION_FAULTS,
  ...FINAL_FAULTS,
  ...MX_FAULTS,
  ...ENTRA_FAULTS,
  ...GRAPH_FAULTS,
];
