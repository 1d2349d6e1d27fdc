import { expect, test } from "vitest";
import { buildClients, receiverLimits } from "../daemon/listening.ts";
import { DEFAULT_LIMITS } from "../receive/options.ts";
import { formatFinding } from "./finding.ts";
import { parseConfig } from "./load.ts";
import type { LoadedConfig } from "./load.ts";
import { MINIMAL_EXAMPLE } from "./reference.ts";

function load(limits: string, client = ""): LoadedConfig {
  const text = MINIMAL_EXAMPLE.replace("[10.20.0.0/16] }", `[10.20.0.0/16]${client} }`).replace("routes:", `limits: ${limits}\nroutes:`);
  return parseConfig(text, "p.yaml", "/etc/postern");
}

function configOf(loaded: LoadedConfig) {
  if (!loaded.ok) throw new Error(loaded.faults.map(formatFinding).join("\n"));
  return loaded.config;
}

test("the defaults of the file are those of the stage, and every limit of the stage can be set but those of its own working", () => {
  const given = receiverLimits(configOf(load("{}")).limits);

  expect({ ...DEFAULT_LIMITS, ...given }).toEqual(DEFAULT_LIMITS);
  expect(Object.keys(DEFAULT_LIMITS).filter((key) => !(key in given))).toEqual(["authDelayMs"]);
});

test("a client's limits and rates are its own; what it does not say stays open", () => {
  const config = configOf(
    load("{ idle: 10m }", ", rate: 120/min, recipient_rate: 20000/d, limits: { recipients: 100, min_data_rate: none }"),
  );
  const [floor] = buildClients(config);

  expect(receiverLimits(config.limits)).toMatchObject({ commandIdleMs: 600_000, dataIdleMs: 600_000 });
  expect(floor).toMatchObject({
    limits: { recipients: 100, minBytesPerMinute: 0 },
    rate: { count: 120, perMs: 60_000 },
    recipientRate: { count: 20_000, perMs: 86_400_000 },
  });
  expect(floor?.limits).not.toHaveProperty("commandIdleMs");
});

test.each([
  ["{}", ", rate: 120", "clients.floor.rate: expected a number in a time such as 120/min, 1000/h or 20000/d"],
  ["{}", ", rate: 0/min", "clients.floor.rate: expected a number in a time such as 120/min, 1000/h or 20000/d"],
  ["{}", ", rate: 10/week", "clients.floor.rate: expected a number in a time such as 120/min, 1000/h or 20000/d"],
  ["{ recipients: 5000 }", "", "limits.recipients: expected a whole number from 1 to 1000"],
  ["{ idle: 1s }", "", "limits.idle: expected 10s to 1d"],
  ["{ session_per_device: 3 }", "", "limits.session_per_device: unknown key; did you mean sessions_per_device?"],
  ["{}", ", limits: { sessions: 3 }", "clients.floor.limits.sessions: unknown key"],
])("limits %s and a client with %s are refused", (limits, client, expected) => {
  const loaded = load(limits, client);

  expect((loaded.ok ? [] : loaded.faults).map((fault) => `${fault.key}: ${fault.message}`)).toEqual([expect.stringContaining(expected)]);
});
