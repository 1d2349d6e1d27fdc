import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ManualClock } from "../platform/clock.ts";
import { beginAuth } from "./auth-exchange.ts";
import { decodeBase64, readPlain, SignIns } from "./sign-in.ts";
import type { Authenticator } from "./sign-in.ts";

const b64 = (text: string): string => Buffer.from(text).toString("base64");

describe("credentials", () => {
  test.each([
    ["\0sap\0secret", { user: "sap", password: "secret" }],
    ["sap\0sap\0secret", { user: "sap", password: "secret" }],
    ["admin\0sap\0secret", undefined],
    ["\0sap", undefined],
    ["\0sap\0a\0b", undefined],
    ["", undefined],
  ])("PLAIN %j", (message, expected) => {
    expect(readPlain(message)).toEqual(expected);
  });

  test("base64 is read strictly, and = is the empty string", () => {
    expect(["=", "", "c2Fw", "c2Fw!", "c2 Fw", "a".repeat(5000)].map(decodeBase64)).toEqual([
      "",
      "",
      "sap",
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("PLAIN and LOGIN come to the same, in one step or several", () => {
    const plain = beginAuth("PLAIN", undefined);
    const login = beginAuth("LOGIN", b64("sap"));
    const loginSlow = beginAuth("LOGIN", undefined);
    const expected = { kind: "credentials", credentials: { user: "sap", password: "secret" } };

    expect(beginAuth("PLAIN", b64("\0sap\0secret"))).toEqual(expected);
    expect(plain.kind === "prompt" && plain.next(b64("\0sap\0secret"))).toEqual(expected);
    expect(login.kind === "prompt" && login.next(b64("secret"))).toEqual(expected);
    const second = loginSlow.kind === "prompt" ? loginSlow.next(b64("sap")) : loginSlow;
    expect(second.kind === "prompt" && second.next(b64("secret"))).toEqual(expected);
  });

  test("whatever is sent, the exchange comes to an end in at most two answers", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("PLAIN", "LOGIN", "NTLM"),
        fc.option(fc.string(), { nil: undefined }),
        fc.string(),
        (mechanism, initial, line) => {
          let step = beginAuth(mechanism, initial);
          for (let i = 0; i < 2; i += 1) if (step.kind === "prompt") step = step.next(line);
          expect(step.kind).not.toBe("prompt");
        },
      ),
    );
  });
});

/** Knows one user; its checks end when the test says so. */
class SlowAuthenticator implements Authenticator {
  readonly asked: { user: string; answer: (right: boolean) => void; fail: () => void }[] = [];
  remembered = false;

  isUser(name: string): boolean {
    return name === "sap";
  }

  remembers(): boolean {
    return this.remembered;
  }

  check(user: string): Promise<boolean> {
    return new Promise((resolve, reject) => this.asked.push({ user, answer: resolve, fail: () => reject(new Error("no thread")) }));
  }
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
};

function start(limits: ConstructorParameters<typeof SignIns>[2] = {}) {
  const clock = new ManualClock();
  const authenticator = new SlowAuthenticator();
  return { clock, authenticator, signIns: new SignIns(authenticator, clock, limits) };
}

describe("attempts", () => {
  test("a wrong password is answered late, each one later than the one before, and no other address waits for that", async () => {
    const { clock, authenticator, signIns } = start();
    const waits: number[] = [];

    for (let i = 0; i < 7; i += 1) {
      const attempt = signIns.attempt("10.0.0.1", { user: "sap", password: "x" }, true);
      await turns();
      authenticator.asked.at(-1)?.answer(false);
      await turns();
      const from = clock.monotonic();
      const results: string[] = [];
      void attempt.then((value) => results.push(value));
      while (results.length === 0) {
        clock.advance(500);
        await turns();
      }
      expect(results).toEqual(["wrong"]);
      waits.push(clock.monotonic() - from);
    }
    const other = signIns.attempt("10.0.0.2", { user: "sap", password: "y" }, true);
    await turns();
    authenticator.asked.at(-1)?.answer(true);

    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 16_000, 16_000]);
    expect(signIns.failures("10.0.0.1")).toBe(7);
    expect(await other).toBe("right");
  });

  test("two at a time in all, one at a time for an address", async () => {
    const { authenticator, signIns } = start();

    const results = ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3"].map((device) =>
      signIns.attempt(device, { user: "sap", password: device }, true),
    );
    await turns();
    expect(authenticator.asked).toHaveLength(2);
    while (authenticator.asked.length < 4) {
      for (const { answer } of authenticator.asked) answer(true);
      await turns();
    }
    for (const { answer } of authenticator.asked) answer(true);

    expect(await Promise.all(results)).toEqual(["right", "right", "right", "right"]);
  });

  test("what cannot wait any more, and what could not be checked, is busy and no failure", async () => {
    const { authenticator, signIns } = start({ waitingPerDevice: 1 });

    const first = signIns.attempt("10.0.0.1", { user: "sap", password: "x" }, true);
    const second = await signIns.attempt("10.0.0.1", { user: "sap", password: "y" }, true);
    await turns();
    authenticator.asked[0]?.fail();

    expect([await first, second]).toEqual(["busy", "busy"]);
    expect(signIns.failures("10.0.0.1")).toBe(0);
  });

  test("a right password from an address where the user may not come is like a wrong one", async () => {
    const { clock, authenticator, signIns } = start();
    authenticator.remembered = true;

    const attempt = signIns.attempt("10.0.0.1", { user: "sap", password: "right" }, false);
    await turns();
    authenticator.asked[0]?.answer(true);
    await turns();
    clock.advance(1000);

    expect(await attempt).toBe("wrong");
    expect(signIns.failures("10.0.0.1")).toBe(1);
  });

  test("a remembered pair does not wait behind the failures of a neighbour", async () => {
    const { authenticator, signIns } = start();
    void signIns.attempt("10.0.0.1", { user: "sap", password: "wrong" }, true);
    authenticator.remembered = true;

    expect(await signIns.attempt("10.0.0.1", { user: "sap", password: "right" }, true)).toBe("right");
  });

  test("failures are forgotten after a quarter of an hour, and addresses beyond the bound leave", async () => {
    const { clock, authenticator, signIns } = start({ devices: 2 });
    for (const device of ["10.0.0.1", "10.0.0.2", "10.0.0.3"]) {
      const attempt = signIns.attempt(device, { user: "sap", password: "x" }, true);
      await turns();
      authenticator.asked.at(-1)?.answer(false);
      await turns();
      clock.advance(1000);
      await attempt;
    }

    expect(["10.0.0.1", "10.0.0.2", "10.0.0.3"].map((device) => signIns.failures(device))).toEqual([0, 1, 1]);
    clock.advance(15 * 60_000 + 1);
    expect(signIns.failures("10.0.0.3")).toBe(0);
  });
});
