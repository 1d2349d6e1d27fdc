import { describe, expect, test } from "vitest";
import { facts, fault, refused, reply } from "../../test/fakes/fake-upstream.ts";
import type { Stage } from "../upstream/upstream.ts";
import { ENTRA } from "./entra.ts";
import { FAULTS } from "./faults.ts";
import { judge, judgeRefusal, normalizedText, type JudgeContext } from "./judge.ts";

const MICROSOFT: JudgeContext = {
  upstream: "scans",
  type: "smtp-auth",
  microsoft: true,
  mailbox: "scanner@contoso.com",
  sender: "erp@contoso.com",
  isInternal: (address) => address.endsWith("@contoso.com"),
};
const SMART_HOST: JudgeContext = { ...MICROSOFT, upstream: "onprem", type: "smart-host", microsoft: false, mailbox: undefined };
const TO = ["a@contoso.com", "b@contoso.com"];
const delivery = { recipients: TO };

describe("faults", () => {
  const ROWS = [...FAULTS, ...ENTRA.slice(0, -1)].flatMap((row) => row.codes.map((code) => [code, row.id, row] as const));
  test.each(ROWS)("%s is judged by the row %s", (code, id, { stages = ["connect"], doors = ["smtp-auth"] }) => {
    for (const stage of stages) {
      const finding = judgeRefusal(fault(stage, code, "detail"), { ...MICROSOFT, type: doors[0] ?? "smtp-auth" });

      expect(finding.id).toBe(id);
      expect(finding.cause).toContain(code);
      expect(`${finding.cause} ${finding.remedy}`).not.toMatch(/AUTHORITY|PASSWORD-PLACE|SECRET-PLACE|^None/);
    }
  });

  test("a sign-in service that cannot be reached is named, and not the next hop", () => {
    const signInFrom = { authority: "login.partner.microsoftonline.cn:443" };
    const of = (code: string) => judgeRefusal(fault("token", code), { ...MICROSOFT, signInFrom });

    for (const code of ["ECONNREFUSED", "TIMEOUT", "ENOTFOUND", "NOT_TLS", "CERTIFICATE"]) {
      expect(of(code).cause).toContain("sign-in service login.partner.microsoftonline.cn:443");
      expect(of(code).remedy).toContain("login.partner.microsoftonline.cn:443");
      expect(of(code).remedy).not.toMatch(/starttls|next hop|host and port/);
    }
  });

  test("whatever comes in place of a token, neither host nor port of the upstream is blamed", () => {
    for (const code of ["HTTP_400", "HTTP_403", "HTTP_407", "HTTP_418", "TOKEN", "PROTOCOL", "UND_ERR_INVALID_ARG"]) {
      const finding = judgeRefusal(fault("token", code), MICROSOFT);

      expect(finding).toMatchObject({ outcome: "retry", scope: "upstream" });
      expect(finding.remedy).toContain("curl -v https://login.microsoftonline.com:443");
    }
    for (const code of ["access_denied", "interaction_required"])
      expect(judgeRefusal(fault("token", code), MICROSOFT).outcome).toBe("hold");
  });

  test("a proxy's page in place of Graph's answer is no word of Graph, and no mail server is looked for", () => {
    const graph: JudgeContext = { ...MICROSOFT, type: "graph" };
    const found = [
      ...["403 Forbidden", "404 Not Found", "407 Proxy Authentication Required"].map((wire) => judgeRefusal(refused("final", wire), graph)),
      ...["GRAPH_PAGE", "PROTOCOL"].map((code) => judgeRefusal(fault("final", code), graph)),
    ];

    for (const { remedy, scope } of found) {
      expect(scope).toBe("message");
      expect(remedy).toContain("curl -v https://graph.microsoft.com");
    }
  });

  test("a secret that is wrong or has ended is told with the place where the new one goes", () => {
    const context = { ...MICROSOFT, signInFrom: { secret: "file /etc/postern/entra-secret" } };

    for (const code of ["AADSTS7000215", "AADSTS7000222"])
      expect(judgeRefusal(fault("token", code), context).remedy).toMatch(
        /put its value \(not its id\) where the secret of upstream \w+ is: file \/etc\/postern\/entra-secret$/,
      );
  });

  test("what is wrong with a smart host is told in its words", () => {
    const context = { ...SMART_HOST, signInFrom: { password: "file /etc/postern/secrets/smart-host" } };

    expect(judgeRefusal(refused("auth", "535 5.7.8 Error: authentication failed"), context).remedy).toContain(
      "credential.username of upstream onprem) or the password (file /etc/postern/secrets/smart-host)",
    );
    expect(judgeRefusal(fault("auth", "NO_AUTH_OFFERED"), context).remedy).not.toContain("office365");
    expect(judgeRefusal(fault("connect", "NOT_TLS"), context).remedy).toContain("tls: required");
  });

  test("a limit of this machine is not the next hop's fault", () => {
    for (const code of ["EMFILE", "ENFILE"])
      expect(judgeRefusal(fault("connect", code), SMART_HOST)).toMatchObject({
        outcome: "retry",
        remedy: expect.stringContaining("LimitNOFILE"),
      });
  });

  test("a host that takes the connection and says nothing is not one that cannot be reached", () => {
    expect(judgeRefusal(fault("greeting", "TIMEOUT"), SMART_HOST).remedy).toContain("curl -v telnet://HOST:PORT");
    expect(judgeRefusal(fault("connect", "TIMEOUT"), SMART_HOST).id).toBe("timed-out");
  });
});

test("a refusal at MAIL that quotes the failed sign-in is judged by the quoted reason", () => {
  const wire =
    "530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled [AM0P.EURP190]";

  expect(judgeRefusal(refused("mail", wire), MICROSOFT).id).toBe("smtp-auth-off-tenant");
});

test("the remedy names the mailbox and the sender", () => {
  const { remedy } = judgeRefusal(refused("final", "554 5.2.252 SendAsDenied; a not allowed to send as b"), MICROSOFT);

  expect(remedy).toContain("Add-RecipientPermission -Identity erp@contoso.com -Trustee scanner@contoso.com -AccessRights SendAs");
});

test("a sender with a shell in its name does not get into a command", () => {
  const { remedy } = judgeRefusal(refused("final", "554 5.2.252 SendAsDenied"), { ...MICROSOFT, sender: '"$(reboot)"@contoso.com' });

  expect(remedy).toContain("-Identity SENDER ");
});

test("brackets at the end are stripped, brackets in the middle stay", () => {
  expect(normalizedText(reply("451 4.7.500 Server busy. Please try again later from [203.0.113.7]. (S77714) [HOST] [OTHER 08DD]"))).toBe(
    "Server busy. Please try again later from [203.0.113.7]. (S77714)",
  );
});

describe("answers that no row knows", () => {
  test.each([
    ["mail", "450 4.9.9 later", "retry", "message"],
    ["rcpt", "450 4.9.9 later", "retry", "recipient"],
    ["final", "554 5.9.9 never", "bounce", "message"],
    ["rcpt", "550 5.9.9 never", "bounce", "recipient"],
    ["final", "550 5.7.999 a policy", "hold", "message"],
    ["greeting", "554 5.9.9 never", "hold", "upstream"],
    ["auth", "535 5.9.9 never", "hold", "upstream"],
    ["auth", "454 4.7.0 Temporary authentication failure", "retry", "upstream"],
    ["final", "354 what", "retry", "message"],
  ] as const)("at %s, %s from Microsoft is %s of the %s", (stage, wire, outcome, scope) => {
    expect(judgeRefusal(refused(stage, wire), MICROSOFT)).toMatchObject({ outcome, scope });
  });

  test.each([
    "552 5.2.2 Mailbox size limit exceeded",
    "552 5.7.0 This message has an illegal attachment",
    "554 Message refused, too many links",
  ])("%s after the data is not about the size", (wire) => {
    expect(judgeRefusal(refused("final", wire), SMART_HOST)).toMatchObject({ id: "refused", outcome: "bounce" });
  });

  test.each([
    ["302 Found", "retry"],
    ["403 Forbidden", "hold"],
  ])("over HTTP, before mail, %s is %s: a page in between is no refusal", (wire, outcome) => {
    expect(judgeRefusal(refused("token", wire), { ...MICROSOFT, type: "graph" })).toMatchObject({ outcome, scope: "upstream" });
  });

  test("5.7.1 after the data from a smart host bounces", () => {
    expect(judgeRefusal(refused("final", "554 5.7.1 spam"), SMART_HOST)).toMatchObject({ outcome: "bounce", scope: "message" });
  });

  test("an Entra number nobody has seen holds the door, trouble at the token endpoint pauses it", () => {
    expect(judgeRefusal(fault("token", "AADSTS123456", "invalid_client"), MICROSOFT)).toMatchObject({ outcome: "hold", scope: "upstream" });
    expect(judgeRefusal(fault("token", "AADSTS123456", "temporarily_unavailable"), MICROSOFT)).toMatchObject({
      outcome: "retry",
      scope: "upstream",
    });
    expect(judgeRefusal(fault("token", "ECONNREFUSED"), MICROSOFT)).toMatchObject({ outcome: "retry", scope: "upstream" });
  });

  test("a fault of an unknown kind is temporary", () => {
    expect(judgeRefusal(fault("connect", "EWHATEVER"), MICROSOFT)).toMatchObject({ outcome: "retry", scope: "upstream" });
    expect(judgeRefusal(fault("content", "EWHATEVER"), MICROSOFT)).toMatchObject({ outcome: "retry", scope: "message" });
    expect(judgeRefusal({ stage: "final" }, MICROSOFT)).toMatchObject({ outcome: "retry", scope: "message" });
  });
});

describe("one attempt", () => {
  test("a recipient refused at RCPT bounces alone, the other is delivered", () => {
    const refusal = refused("rcpt", "550 5.1.1 unknown");

    const { verdicts, door } = judge(
      facts(delivery, { recipients: [{ address: TO[0] ?? "", refusal }, { address: TO[1] ?? "" }] }),
      TO,
      MICROSOFT,
    );

    expect(verdicts.map((verdict) => verdict.kind)).toEqual(["bounce", "delivered"]);
    expect(door.kind).toBe("works");
  });

  test.each([
    "452 4.5.3 Too many recipients",
    "451 4.5.3 Error: too many recipients",
    "452 too many recipients",
    "552 5.5.3 Maximum reached",
    "550 5.5.3 Too many recipients",
    "552 Too many recipients",
    "554 Too many rcpts",
  ])("recipients over the next hop's count follow at once, but not in a loop: %s", (wire) => {
    const refusal = refused("rcpt", wire);

    const some = judge(facts(delivery, { recipients: [{ address: TO[0] ?? "" }, { address: TO[1] ?? "", refusal }] }), TO, SMART_HOST);
    const { accepted: _, ...none } = facts(delivery, { recipients: TO.map((address) => ({ address, refusal })) });

    expect(some.verdicts[1]).toMatchObject({ kind: "retry", waitMs: 0 });
    expect(judge(none, TO, SMART_HOST).verdicts[1]).toMatchObject({ kind: "retry", waitMs: undefined });
  });

  test.each(["552 Mailbox full", "552 5.2.2 Mailbox full", "550 5.1.1 Too many unknown recipients"])(
    "a refusal for another reason bounces, though others were taken: %s",
    (wire) => {
      const recipients = [{ address: TO[0] ?? "" }, { address: TO[1] ?? "", refusal: refused("rcpt", wire) }];

      expect(judge(facts(delivery, { recipients }), TO, SMART_HOST).verdicts[1]?.kind).toBe("bounce");
    },
  );

  test("a door that refuses each recipient for its own fault is held", () => {
    const refusal = refused("rcpt", "550 5.7.705 Access denied, tenant has exceeded threshold.");
    const { accepted: _, ...none } = facts(delivery, { recipients: TO.map((address) => ({ address, refusal })) });

    const { verdicts, door } = judge(none, TO, MICROSOFT);

    expect(verdicts.map((verdict) => verdict.kind)).toEqual(["hold", "hold"]);
    expect(verdicts[0]).toMatchObject({ by: "upstream" });
    expect(door.kind).toBe("hold");
  });

  test("a door that took the others is not held for one recipient: that one is tried again", () => {
    const refusal = refused("rcpt", "550 5.7.705 Access denied, tenant has exceeded threshold.");

    const { verdicts, door } = judge(
      facts(delivery, { recipients: [{ address: TO[0] ?? "" }, { address: TO[1] ?? "", refusal }] }),
      TO,
      MICROSOFT,
    );

    expect(verdicts.map((verdict) => verdict.kind)).toEqual(["delivered", "retry"]);
    expect(door.kind).toBe("works");
  });

  test("a connection that breaks within a message says little about the door, one that breaks before it does", () => {
    const broken = (stage: Stage) => judge(facts(delivery, { refusal: fault(stage, "ECONNRESET") }), TO, MICROSOFT);

    expect(broken("content")).toMatchObject({
      verdicts: [{ kind: "retry", finding: { scope: "message" } }, {}],
      door: { kind: "unclear" },
    });
    expect(broken("ehlo")).toMatchObject({ verdicts: [{ kind: "retry", finding: { scope: "upstream" } }, {}], door: { kind: "pause" } });
  });

  test("a mistake of our own before mail is offered pauses the door, and says nothing against the message", () => {
    expect(judge(facts(delivery, { refusal: fault("token", "EXCEPTION") }), TO, MICROSOFT)).toMatchObject({
      verdicts: [{ kind: "retry", finding: { scope: "upstream" } }, {}],
      door: { kind: "pause" },
    });
  });

  test("an answer lost after the final dot is ambiguous, even when we broke it off ourselves", () => {
    const { verdicts } = judge(facts(delivery, { ambiguous: true, refusal: fault("final", "ABORTED") }), TO, MICROSOFT);

    expect(verdicts[0]).toMatchObject({ kind: "retry", ambiguous: true });
  });

  test("what we broke off before that was not tried", () => {
    expect(judge(facts(delivery, { refusal: fault("data", "ABORTED") }), TO, MICROSOFT).verdicts[0]).toEqual({ kind: "return" });
  });

  test("content that fails its checksum is held as corrupt", () => {
    expect(judge(facts(delivery, { refusal: fault("content", "E_CONTENT_CORRUPT") }), TO, MICROSOFT)).toMatchObject({
      verdicts: [{ kind: "hold", by: "corrupt" }, {}],
      door: { kind: "unclear" },
    });
  });
});
