import { expect, test } from "vitest";
import { upstreamIdOf } from "./upstream-id.ts";

test.each([
  ["OK <AM0P1@AM0P.OUTLOOK.COM> [Hostname=AM0P.OUTLOOK.COM]", "<AM0P1@AM0P.OUTLOOK.COM> Hostname=AM0P.OUTLOOK.COM"],
  [
    "<own@relay> [InternalId=130184753713403, Hostname=DBX.prod.outlook.com] 8273 bytes in 0.296, 27.285 KB/sec Queued mail for delivery",
    "<own@relay> InternalId=130184753713403 Hostname=DBX.prod.outlook.com",
  ],
  ["Ok: queued as 4XyZ12abc", "4XyZ12abc"],
  ["OK id=1rABCd-0001Xy-2Z", "1rABCd-0001Xy-2Z"],
  ["3BQ9Xk012345 Message accepted for delivery", "3BQ9Xk012345"],
  ["Ok", undefined],
])("%s", (text, id) => {
  expect(upstreamIdOf({ code: 250, text })).toBe(id);
});
