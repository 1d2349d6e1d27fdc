/** `/api/v1/devices`: who was seen, who may come in for good. */
import type { Hono } from "hono";
import type { AllowedDevice } from "../../devices/admissions.ts";
import type { Device } from "../../devices/device.ts";
import { readJsonObject, readText, RequestFault } from "../bodies.ts";

/** The devices as the API looks at them and acts on them. Every act is durable when it resolves. */
export interface DeviceSource {
  /** The latest seen first. */
  list(): readonly Device[];
  get(address: string): Device | undefined;
  /** What operators let in. */
  allowed(): readonly AllowedDevice[];
  /** @throws PosternError E_USAGE for what is no address or no client */
  allow(address: string, client: string, by: string): Promise<AllowedDevice>;
  /** @returns false when nothing was known */
  forget(address: string, by: string): Promise<boolean>;
}

export function addDeviceRoutes(app: Hono, devices: DeviceSource): void {
  app.get("/api/v1/devices", (c) => c.json({ devices: devices.list(), allowed: devices.allowed() }));
  app.get("/api/v1/devices/:address", (c) => {
    const address = c.req.param("address").toLowerCase();
    const device = devices.get(address);
    const allowed = devices.allowed().find((other) => other.address === address);
    if (device === undefined && allowed === undefined) throw unknownDevice(address);
    return c.json({ device, allowed });
  });
  app.post("/api/v1/devices/allow", async (c) => {
    const body = await readJsonObject(c.req.raw);
    const allowed = await devices.allow(
      readText("address", body["address"]),
      readText("client", body["client"]),
      readText("by", body["by"]),
    );
    return c.json({ allowed });
  });
  app.post("/api/v1/devices/forget", async (c) => {
    const body = await readJsonObject(c.req.raw);
    const address = readText("address", body["address"]);
    if (!(await devices.forget(address, readText("by", body["by"])))) throw unknownDevice(address);
    return c.json({ address });
  });
}

function unknownDevice(address: string): RequestFault {
  return new RequestFault(404, "E_NO_SUCH_DEVICE", `no device with the address ${address.slice(0, 60)} was seen or allowed`);
}
