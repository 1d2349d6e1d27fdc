/** What the administrator hears of a sign-in that is renewed in the background. */
import type { Emit } from "../../mail/events.ts";
import type { Refusal } from "../upstream.ts";

/** An alert while a sign-in cannot be renewed, long before mail has to wait for it. */
export function signInReporter(upstream: string, emit: Emit): (refusal: Refusal | undefined) => void {
  let raised = false;
  return (refusal) => {
    const about = { alert: "upstream.sign-in", subject: upstream } as const;
    if (refusal !== undefined) {
      const { code, detail } = refusal.fault ?? { code: "TOKEN", detail: "no token" };
      emit({ type: "alert.raised", ...about, text: `the sign-in could not be renewed: ${code}: ${detail}` });
    } else if (raised) {
      emit({ type: "alert.cleared", ...about });
    }
    raised = refusal !== undefined;
  };
}
