/** `/devices`: who was seen, who may come in for good. */
import { VERDICTS } from "../../devices/device.ts";
import { RequestFault } from "../fault.ts";
import { z } from "./engine.ts";
import { list, text, time } from "./fields.ts";
import { jsonRoute, type Route } from "./route.ts";

const Allowed = z
  .strictObject({ address: z.string(), client: z.string(), since: time("Since when."), by: z.string().describe("Who said so.") })
  .meta({ id: "AllowedDevice", description: "A device that an operator let in." });

const Device = z
  .strictObject({
    address: z.string(),
    verdict: z.enum(VERDICTS).describe("Why it may send, or that it may not."),
    client: z.string().optional(),
    firstSeen: time("First seen."),
    lastSeen: time("Last seen."),
    names: list(z.string()).describe("HELO names."),
    dnsName: z.string().optional(),
    listeners: list(z.string()),
    tls: z.record(z.string(), z.number()).describe("Sessions by TLS version."),
    triedAuth: z.boolean(),
    users: list(z.string()),
    senders: list(z.string()),
    sessions: z.number(),
    messages: z.number(),
    recipients: z.number(),
    bytes: z.number(),
    lastMessageAt: time("Its last message.").optional(),
    refusals: z.number(),
    lastRefusals: list(
      z.strictObject({
        at: time("When."),
        listener: z.string(),
        reason: z.string(),
        reply: z.string(),
        detail: z.string().optional(),
        remedy: z.string().optional(),
      }),
    ),
    quirks: list(
      z.strictObject({
        kind: z.string(),
        count: z.number(),
        lastAt: time("Last seen."),
        example: z.string(),
        toldAt: time("When the log last told of it.").optional(),
      }),
    ).describe("Repairs that it needs."),
  })
  .meta({ id: "Device", description: "Everything known of one address." });

export const DEVICE_ROUTES: readonly Route[] = [
  jsonRoute(
    {
      method: "get",
      path: "/devices",
      role: "viewer",
      summary: "Every address seen, the latest first, and what operators let in",
      answer: z.strictObject({ devices: list(Device), allowed: list(Allowed) }),
    },
    ({ devices }) => ({ devices: devices.list(), allowed: devices.allowed() }),
  ),
  jsonRoute(
    {
      method: "get",
      path: "/devices/:address",
      role: "viewer",
      summary: "Everything known of one device",
      params: z.strictObject({ address: text("IP address.").toLowerCase() }),
      answer: z.strictObject({ device: Device.optional(), allowed: Allowed.optional() }),
      faults: { 404: "No such device was seen or allowed." },
    },
    ({ devices }, { params: { address } }) => {
      const device = devices.get(address);
      const allowed = devices.allowed().find((other) => other.address === address);
      if (device === undefined && allowed === undefined) throw unknownDevice(address);
      return { device, allowed };
    },
  ),
  jsonRoute(
    {
      method: "post",
      path: "/devices/allow",
      role: "operator",
      summary: "Let a device in for good",
      acts: true,
      body: z.strictObject({ address: text("Its IP address."), client: text("The client whose policy it gets.") }),
      answer: z.strictObject({ allowed: Allowed }),
    },
    async ({ devices }, { body: { address, client }, operator }) => ({ allowed: await devices.allow(address, client, operator.name) }),
  ),
  jsonRoute(
    {
      method: "post",
      path: "/devices/forget",
      role: "operator",
      summary: "Drop what is known of a device, and what was allowed to it",
      acts: true,
      body: z.strictObject({ address: text("Its IP address.") }),
      answer: z.strictObject({ address: z.string() }),
      faults: { 404: "No such device was seen or allowed." },
    },
    async ({ devices }, { body: { address }, operator }) => {
      if (!(await devices.forget(address, operator.name))) throw unknownDevice(address);
      return { address };
    },
  ),
];

function unknownDevice(address: string): RequestFault {
  return new RequestFault(404, "E_NO_SUCH_DEVICE", `no device with the address ${address.slice(0, 60)} was seen or allowed`);
}
