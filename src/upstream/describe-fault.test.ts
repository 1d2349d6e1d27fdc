import { expect, test } from "vitest";
import { faultOf } from "./smtp/fault.ts";
import { describeFault } from "./upstream.ts";

test.each([
  [{ code: "AADSTS7000215", detail: "AADSTS7000215: Invalid client secret provided." }, "AADSTS7000215: Invalid client secret provided."],
  [{ code: "TIMEOUT", detail: "no connection in time" }, "TIMEOUT: no connection in time"],
])("%j is told with its code once", (fault, told) => {
  expect(describeFault(fault)).toBe(told);
});

test("a certificate that cannot be verified is told without advice for those who write programs", () => {
  const error = Object.assign(
    new Error("unable to verify the first certificate; if the root CA is installed locally, try running Node.js with --use-system-ca"),
    { code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" },
  );

  expect(describeFault(faultOf(error))).toBe("CERTIFICATE: unable to verify the first certificate (UNABLE_TO_VERIFY_LEAF_SIGNATURE)");
});
