/** The usual routing: one route with one door. */
import { DoorBoard } from "../../src/deliver/door-board.ts";
import { makeRouter } from "../../src/deliver/routes.ts";
import type { DelivererOptions } from "../../src/deliver/scheduler.ts";

/** What a deliverer with one door needs for routing. */
export function oneDoor(upstream: string): Pick<DelivererOptions, "router" | "board" | "fallbackAfterMs"> {
  const board = new DoorBoard();
  const router = makeRouter({ routes: [{ name: "default", via: [upstream] }], domains: ["contoso.com"], board });
  return { router, board, fallbackAfterMs: 900_000 };
}
