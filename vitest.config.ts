import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// Tests start hundreds of processes and threads from the sources: what one compiled the next ones take over.
process.env["NODE_COMPILE_CACHE"] ??= fileURLToPath(new URL("node_modules/.cache/compiled", import.meta.url));

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "bench/**/*.test.ts", "scripts/**/*.test.ts"],
    pool: "forks",
    // Secrets that a test lets out fail it.
    setupFiles: ["test/support/canaries/setup.ts"],
    // Two files at a time even on small machines: many wait for processes and sockets.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
