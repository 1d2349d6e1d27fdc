import fc from "fast-check";
import { expect, test } from "vitest";
import { escapeForTrace, formatCommand, repairCommand } from "./repair.ts";

// Device's line, the line it meant, what was odd about it.
test.each([
  ["EHLO printer.contoso.com", "EHLO printer.contoso.com", []],
  ["ehlo printer", "EHLO printer", []],
  ["HELO ", "HELO", ["helo-without-name"]],
  ["HELO", "HELO", ["helo-without-name"]],
  ["EHLO NPIF65E56", "EHLO NPIF65E56", []],
  ["EHLO scan_1", "EHLO scan_1", ["helo-odd-name"]],
  ["EHLO PhpStorm 9.0.3", "EHLO PhpStorm 9.0.3", ["helo-odd-name"]],
  ["EHLO [System.Net.Dns]", "EHLO [System.Net.Dns]", []],
  ["EHLO \u043f\u0440\u0438\u043d\u0442\u0435\u0440", "EHLO \u043f\u0440\u0438\u043d\u0442\u0435\u0440", ["helo-odd-name"]],
  ["EHLO FE80::1", "EHLO FE80::1", ["helo-odd-name"]],
  ["EHLO [127.0.0.1]", "EHLO [127.0.0.1]", []],
  ["MAIL FROM:<a@b.example>", "MAIL FROM:<a@b.example>", []],
  ["MAIL FROM:<>", "MAIL FROM:<>", []],
  ["mail from:<a@b.example>", "MAIL FROM:<a@b.example>", []],
  ["MAIL FROM: <a@b.example>", "MAIL FROM:<a@b.example>", ["space-after-colon"]],
  ["MAIL FROM:<a@b.example>  ", "MAIL FROM:<a@b.example>", []],
  ["MAIL FROM :<a@b.example>", "MAIL FROM:<a@b.example>", []],
  ["MAIL FROM <a@b.example>", "MAIL FROM:<a@b.example>", ["missing-colon"]],
  ["MAIL FROM:a@b.example", "MAIL FROM:<a@b.example>", ["missing-brackets"]],
  ["MAIL FROM: a@b.example SIZE=1000", "MAIL FROM:<a@b.example> SIZE=1000", ["space-after-colon", "missing-brackets"]],
  ["MAIL FROM:a@b.example AUTH=<>", "MAIL FROM:<a@b.example> AUTH=<>", ["missing-brackets"]],
  ["MAIL FROM:<<a@b.example>>", "MAIL FROM:<a@b.example>", ["extra-brackets"]],
  ["MAIL FROM:Scanner <a@b.example>", "MAIL FROM:<a@b.example>", ["text-around-address"]],
  ["MAIL FROM:<Scanner <a@b.example>>", "MAIL FROM:<a@b.example>", ["extra-brackets", "text-around-address"]],
  ["MAIL FROM:<'a@b.example'>", "MAIL FROM:<a@b.example>", ["quotes-around-address"]],
  ['MAIL FROM:<"a@b.example">', "MAIL FROM:<a@b.example>", ["quotes-around-address"]],
  ["MAIL FROM:<root@host.example (fcron)>", "MAIL FROM:<root@host.example>", ["comment-in-address"]],
  ["MAIL FROM:<a@b.example.>", "MAIL FROM:<a@b.example>", ["trailing-dot"]],
  ["RCPT TO:<a@b.example;>", "RCPT TO:<a@b.example>", ["trailing-separator"]],
  ["RCPT TO:<a@b.example, ; >", "RCPT TO:<a@b.example>", ["trailing-separator"]],
  ["RCPT TO:a@b.example, SIZE=1", "RCPT TO:<a@b.example> SIZE=1", ["missing-brackets", "trailing-separator"]],
  ["RCPT TO:<'a@b.example';>", "RCPT TO:<a@b.example>", ["trailing-separator", "quotes-around-address"]],
  ["RCPT TO:<a@b.example>;", "RCPT TO:<a@b.example>", ["trailing-separator"]],
  ["RCPT TO:<bob;>", "RCPT TO:<bob>", ["trailing-separator", "address-without-domain"]],
  ["MAIL FROM:<a@B.Example>", "MAIL FROM:<a@b.example>", ["domain-case"]],
  ["MAIL FROM:<@x.example,@y.example:a@b.example>", "MAIL FROM:<a@b.example>", ["source-route"]],
  ["MAIL FROM:<ESP-CAM_MJPEG>", "MAIL FROM:<ESP-CAM_MJPEG>", ["address-without-domain"]],
  ["MAIL FROM:<root@>", "MAIL FROM:<root>", ["address-without-domain"]],
  ["MAIL FROM:", "MAIL FROM:", ["empty-sender"]],
  ["MAIL FROM:<a@b.example> XVERP", "MAIL FROM:<a@b.example> XVERP", ["unknown-parameter"]],
  ["MAIL FROM:<a@b.example> BODY=8BITMIME SMTPUTF8 RET=HDRS", "MAIL FROM:<a@b.example> BODY=8BITMIME SMTPUTF8 RET=HDRS", []],
  ["RCPT TO:<postmaster>", "RCPT TO:<postmaster>", ["address-without-domain"]],
  ["RCPT TO:<a@b\u00fccher.example>", "RCPT TO:<a@xn--bcher-kva.example>", ["domain-case"]],
  ['RCPT TO:<"a b"@b.example>', 'RCPT TO:<"a b"@b.example>', []],
  ['RCPT TO:<"a@c"@b.example>', 'RCPT TO:<"a@c"@b.example>', []],
  ["RCPT TO:<user%host.example@b.example>", "RCPT TO:<user%host.example@b.example>", []],
  ["RCPT TO:<a@[192.0.2.1]>", "RCPT TO:<a@[192.0.2.1]>", []],
  ["RCPT TO:<user.@b.example>", "RCPT TO:<user.@b.example>", []],
  ["", "NOOP", ["blank-line"]],
  ["   ", "NOOP", ["blank-line"]],
  ["noop whatever", "NOOP", []],
  ["VRFY root", "VRFY", []],
  ["AUTH login", "AUTH LOGIN", []],
  ["auth LOGIN dXNlcg==", "AUTH LOGIN dXNlcg==", []],
  ["DATA ", "DATA", []],
  ["BDAT 100 LAST", "BDAT", []],
])("%j means %j %j", (line, canonical, quirks) => {
  const command = repairCommand(line);

  expect(formatCommand(command)).toBe(canonical);
  expect(command.quirks).toEqual(quirks);
});

test.each([
  ["MAIL", "syntax"],
  ["RCPT", "syntax"],
  ["MAIL FROM", "no-address"],
  ["RCPT TO:", "no-address"],
  ["RCPT TO:<>", "no-address"],
  ["RCPT TO:< >", "no-address"],
  ["RCPT TO:<;>", "no-address"],
  ["MAIL FROM:<;>", "no-address"],
  ["MAIL FROM:<@>", "no-address"],
  ["MAIL FROM:<a@b@c.example>", "no-address"],
  ["MAIL FROM:<john smith@b.example>", "no-address"],
  ["MAIL FROM:<a@b.example>,<c@d.example>", "several-addresses"],
  ["MAIL FROM:<a@b.example,c@d.example>", "several-addresses"],
  ["MAIL FROM:a@b.example c@d.example", "several-addresses"],
  ["MAIL FROM:<a@b.example> c@d.example", "several-addresses"],
  ["RCPT TO:<a@b..example>", "bad-domain"],
  ["RCPT TO:<a@-_*.example>", "bad-domain"],
  [`RCPT TO:<a@${"b".repeat(64)}.example>`, "bad-domain"],
  [`RCPT TO:<a@${"b".repeat(64)}.example> X=1`, "bad-domain"],
  ["RCPT TO:<a\u0000@b.example>", "no-address"],
  ["RCPT TO:<a\r@b.example>", "no-address"],
  ['RCPT TO:<"a\u009b31m"@b.example>', "no-address"],
  ['RCPT TO:<"a\u2028b"@b.example>', "no-address"],
  ["STARTTLS now", "syntax"],
  ["AUTH", "syntax"],
  ["WIZ", "unknown"],
  ["SUBJECT: hello", "unknown"],
  ["MAILBOX FROM:<a@b.example>", "unknown"],
])("%j is refused: %s", (line, fault) => {
  expect(repairCommand(line)).toMatchObject({ verb: "fault", fault });
});

test("a repaired command needs no further repair", () => {
  const local = fc.constantFrom("a", "Root", "scan.1", '"x y"', "user%host", "\u00fc");
  const domain = fc.constantFrom("b.example", "B.Example.", "x", "[192.0.2.1]", "b\u00fccher.example", "");
  const wrap = fc.constantFrom("<%>", "<<%>>", "%", "Name <%>", "<'%'>", "<% (c)>", " <%> ");
  fc.assert(
    fc.property(
      fc.constantFrom("MAIL FROM:", "rcpt to: ", "Mail From "),
      local,
      domain,
      wrap,
      fc.constantFrom("", " SIZE=10", " BODY=8BITMIME X"),
      (verb, l, d, w, tail) => {
        const line = verb + w.replace("%", d === "" ? l : `${l}@${d}`) + tail;
        const once = repairCommand(line);
        fc.pre(once.verb !== "fault");

        const twice = repairCommand(formatCommand(once));

        expect(formatCommand(twice)).toBe(formatCommand(once));
      },
    ),
  );
});

test("no line makes an address with a line end, a NUL or a bracket in it", () => {
  const noise = fc.string({
    unit: fc.constantFrom("<", ">", "@", '"', "(", ")", " ", "\r", "\n", "\0", "a", ".", ",", ":", "\\", "=", "\u00fc", "'"),
    maxLength: 30,
  });
  fc.assert(
    fc.property(fc.constantFrom("MAIL FROM:", "RCPT TO:"), noise, (verb, rest) => {
      const command = repairCommand(verb + rest);

      if (command.verb !== "MAIL" && command.verb !== "RCPT") return;
      expect(command.path ?? "").not.toMatch(/[\r\n\0]/);
      expect((command.path ?? "").replace(/"(?:[^"\\]|\\.)*"/g, "")).not.toMatch(/[<>\s,]/);
    }),
    { numRuns: 5000 },
  );
});

test("hostile lines are read in linear time", () => {
  const started = performance.now();
  for (const unit of ["<", "(", '"', "a@", "\\", " ", "<a", "@a,", "=", ".a", ", ", ";>"])
    repairCommand(`MAIL FROM:${unit.repeat(16_000 / unit.length)}`);

  expect(performance.now() - started).toBeLessThan(1000);
});

test("names are escaped and cut for logs", () => {
  expect(escapeForTrace("a\r\nb\\\u00fc\u0416")).toBe("a\\x0d\\x0ab\\x5c\\xfc\\u{416}");
  expect(escapeForTrace("x".repeat(1000))).toHaveLength(255);
});
