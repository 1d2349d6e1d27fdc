/** What happens in the stand-in, for tests that wait and for the command's log. No secret is in them. */
import type { ReceivedMessage } from "./mail-store.ts";

export type SimulatorEvent =
  | { readonly type: "token.issued"; readonly clientId: string; readonly expiresInSeconds: number }
  | { readonly type: "token.refused"; readonly clientId: string; readonly code: string }
  | { readonly type: "device.started"; readonly clientId: string; readonly userCode: string }
  | { readonly type: "session.opened"; readonly session: string; readonly remoteAddress: string }
  | { readonly type: "session.authenticated"; readonly session: string; readonly mailbox: string; readonly method: string }
  /** `why` is for the operator: Microsoft's reply does not tell it to the client. */
  | { readonly type: "session.refused"; readonly session: string; readonly user: string; readonly reply: string; readonly why: string }
  | { readonly type: "session.closed"; readonly session: string }
  | { readonly type: "message.received"; readonly message: ReceivedMessage }
  | { readonly type: "message.refused"; readonly session: string; readonly mailbox: string; readonly reply: string }
  | { readonly type: "dns.asked"; readonly name: string; readonly record: string; readonly code: string }
  | { readonly type: "protocol.violated"; readonly session: string; readonly what: string };

export type SimulatorListener = (event: SimulatorEvent) => void;
