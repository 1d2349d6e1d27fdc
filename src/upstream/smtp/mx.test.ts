import { afterEach, describe, expect, test } from "vitest";
import { startFakeDns } from "../../../test/fakes/dns.ts";
import type { DnsName, FakeDns } from "../../../test/fakes/dns.ts";
import { ManualClock } from "../../platform/clock.ts";
import { dnsResolver, mxPlaces } from "./mx.ts";
import type { Places } from "./places.ts";

const never = new AbortController().signal;
const SUFFIXES = ["mail.protection.outlook.com", "mx.microsoft"];
const HOST = "contoso-com.mail.protection.outlook.com";

const servers: FakeDns[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function scene(
  names: Record<string, DnsName>,
  sourceAddress?: string,
): Promise<{ readonly dns: FakeDns; readonly clock: ManualClock; readonly places: Places }> {
  const dns = await startFakeDns(names);
  servers.push(dns);
  const clock = new ManualClock();
  const places = mxPlaces({
    domain: "contoso.com",
    port: 25,
    suffixes: SUFFIXES,
    sourceAddress,
    dns: dnsResolver([dns.server]),
    clock,
  });
  return { dns, clock, places };
}

/** `host address` of each place, or the fault's code. */
async function found(places: Places): Promise<readonly string[] | string | undefined> {
  const result = await places.find(never);
  return "stage" in result ? result.fault?.code : result.map(({ host, address }) => `${host} ${address}`);
}

describe("where a domain's mail goes", () => {
  test("to Microsoft's hosts in the order of preference, all their addresses, IPv4 first", async () => {
    const { places } = await scene({
      "contoso.com": {
        mx: [
          [20, "backup.mx.microsoft"],
          [10, "Contoso-Com.mail.protection.outlook.com"],
        ],
      },
      [HOST]: { a: ["192.0.2.1", "192.0.2.2"], aaaa: ["2001:db8::1"] },
      "backup.mx.microsoft": { a: ["192.0.2.3"] },
    });

    expect(await found(places)).toEqual([`${HOST} 192.0.2.1`, `${HOST} 192.0.2.2`, `${HOST} 2001:db8::1`, "backup.mx.microsoft 192.0.2.3"]);
  });

  test("never to another provider's host beside Microsoft's", async () => {
    const { places } = await scene({
      "contoso.com": {
        mx: [
          [5, "mx.filter.example"],
          [10, HOST],
        ],
      },
      [HOST]: { a: ["192.0.2.1"] },
      "mx.filter.example": { a: ["192.0.2.9"] },
    });

    expect(await found(places)).toEqual([`${HOST} 192.0.2.1`]);
  });

  test("only to addresses of the family that the source address has", async () => {
    const { places } = await scene(
      { "contoso.com": { mx: [[10, HOST]] }, [HOST]: { a: ["192.0.2.1"], aaaa: ["2001:db8::1"] } },
      "2001:db8::99",
    );

    expect(await found(places)).toEqual([`${HOST} 2001:db8::1`]);
  });
});

describe("what is no place", () => {
  test.each<[string, Record<string, DnsName>, string]>([
    ["a domain that is not there", {}, "MX_NONE"],
    ["a domain without an MX, whatever its own address", { "contoso.com": { a: ["192.0.2.1"] } }, "MX_NONE"],
    ["a domain that says it takes no mail", { "contoso.com": { mx: [[0, ""]] } }, "MX_NONE"],
    ["another provider's host", { "contoso.com": { mx: [[10, "mx.filter.example"]] } }, "MX_FOREIGN"],
    ["a name that only looks like Microsoft's", { "contoso.com": { mx: [[10, "evilmx.microsoft"]] } }, "MX_FOREIGN"],
    ["a name server that fails", { "contoso.com": { rcode: 2 } }, "DNS_TEMPORARY"],
    ["a name server that refuses", { "contoso.com": { rcode: 5 } }, "DNS_TEMPORARY"],
    ["Microsoft's host without an address", { "contoso.com": { mx: [[10, HOST]] } }, "MX_NONE"],
    [
      "Microsoft's host while its addresses are not to be had",
      { "contoso.com": { mx: [[10, HOST]] }, [HOST]: { rcode: 2 } },
      "DNS_TEMPORARY",
    ],
  ])("%s", async (_, names, code) => {
    const { places } = await scene(names);

    expect(await found(places)).toBe(code);
  });

  test("a name server that is not there is temporary", async () => {
    const dns = await startFakeDns({});
    await dns.close();
    const places = mxPlaces({
      domain: "contoso.com",
      port: 25,
      suffixes: SUFFIXES,
      dns: dnsResolver([dns.server]),
      clock: new ManualClock(),
    });

    expect(await found(places)).toBe("DNS_TEMPORARY");
  });

  test("another provider's host is named, for the administrator", async () => {
    const { places } = await scene({ "contoso.com": { mx: [[10, "mx.filter.example"]] } });

    const result = await places.find(never);

    expect("stage" in result && result.fault?.detail).toBe("the MX of contoso.com is mx.filter.example, which is not Microsoft's");
  });
});

describe("what was found", () => {
  const NAMES = (): Record<string, DnsName> => ({ "contoso.com": { mx: [[10, HOST]] }, [HOST]: { a: ["192.0.2.1"], ttl: 10 } });

  test("is remembered for half a minute at least, and asked for once by many", async () => {
    const { dns, clock, places } = await scene(NAMES());

    await Promise.all([found(places), found(places)]);
    clock.advance(29_000);
    await found(places);

    expect(dns.asked.filter((question) => question.startsWith("MX"))).toHaveLength(1);
    clock.advance(2000);
    await found(places);
    expect(dns.asked.filter((question) => question.startsWith("MX"))).toHaveLength(2);
  });

  test("is asked for anew once none of the places worked", async () => {
    const { dns, places } = await scene(NAMES());
    await found(places);

    places.failed?.();
    dns.names[HOST] = { a: ["192.0.2.7"] };

    expect(await found(places)).toEqual([`${HOST} 192.0.2.7`]);
  });

  test("serves for a day while no name server answers, and not longer", async () => {
    const { dns, clock, places } = await scene(NAMES());
    await found(places);
    dns.names["contoso.com"] = { rcode: 2 };

    clock.advance(23 * 3_600_000);
    expect(await found(places)).toEqual([`${HOST} 192.0.2.1`]);
    clock.advance(2 * 3_600_000);
    expect(await found(places)).toBe("DNS_TEMPORARY");
  });

  test("is dropped as soon as the domain moves away", async () => {
    const { dns, clock, places } = await scene(NAMES());
    await found(places);
    dns.names["contoso.com"] = { mx: [[10, "mx.filter.example"]] };

    clock.advance(31_000);

    expect(await found(places)).toBe("MX_FOREIGN");
  });
});
