import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    sequence: { concurrent: true },
    // The modules of Effect are read once a worker, not once a file.
    isolate: false,
    // A busy machine is no failure.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Tests that want events to be sent say so.
    env: { TINKER_TELEMETRY: "0" },
    setupFiles: [fileURLToPath(new URL("./vitest.setup.ts", import.meta.url))]
  }
})
