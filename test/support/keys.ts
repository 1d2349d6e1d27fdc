/** RSA keys for the many stand-ins of a test run. To make one takes 70 ms of computing, and a stand-in needs up to six. */
import { newKeys, type KeySource } from "../../src/simulator/pki.ts";

const made: ReturnType<KeySource>[] = [];

/** The same keys for each stand-in of this process, different ones within a stand-in. For tests in which no second one must be told from the first by them. */
export function usedKeys(): KeySource {
  let asked = 0;
  return () => (made[asked++] ??= newKeys());
}
