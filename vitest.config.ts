import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// Tests start hundreds of processes and threads: what one compiled the next ones take over.
process.env["NODE_COMPILE_CACHE"] ??= fileURLToPath(new URL("node_modules/.cache/compiled", import.meta.url));

/** Files that need a process of their own, because a library keeps something for its life. */
const APART = ["src/upstream/oauth/managed-identity.test.ts"];

export default defineConfig({
  test: {
    pool: "forks",
    globalSetup: ["test/support/build.ts"],
    // Secrets that a test lets out fail it.
    setupFiles: ["test/support/canaries/setup.ts"],
    // More than a small machine has cores: many wait for processes and sockets.
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // A second, which is the default, is no bug on a machine that is busy.
    expect: { poll: { timeout: 20_000 } },
    projects: [
      {
        extends: true,
        test: {
          // To start a process for each file takes as much computing as a third of the tests. So a file leaves nothing behind in its process.
          isolate: false,
          include: ["src/**/*.test.ts", "test/**/*.test.ts", "bench/**/*.test.ts", "scripts/**/*.test.ts"],
          exclude: APART,
        },
      },
      { extends: true, test: { name: "apart", include: APART } },
    ],
  },
});
