import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../../", import.meta.url))

for (const signal of ["SIGTERM", "SIGKILL"] as const) {
  it.live.skipIf(signal === "SIGKILL" && process.platform !== "linux")(
    `the server ends with the npm that runs it, after ${signal}`,
    () =>
      Effect.async<void>((resume) => {
        const npm = spawn("npm", ["run", "serve", "--", "--port", "0"], {
          cwd: root,
          stdio: ["ignore", "pipe", "ignore"]
        })
        let output = ""
        npm.stdout.on("data", (chunk: Buffer) => {
          output += chunk.toString()
          if (/listening on/.test(output)) npm.kill(signal)
        })
        // Held open by whoever can write to it, the server too.
        npm.stdout.on("end", () => {
          assert.include(output, "listening on")
          resume(Effect.void)
        })
      }),
    180_000
  )
}
