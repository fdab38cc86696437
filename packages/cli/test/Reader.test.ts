import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"

const program = `
import { Console, Effect, Schedule } from "effect"
import * as Main from ${JSON.stringify(new URL("../src/Main.ts", import.meta.url).href)}
Main.run(Console.log("still here").pipe(
  Effect.repeat(Schedule.spaced("10 millis")),
  Effect.onInterrupt(() => Effect.sync(() => process.stderr.write("saved"))),
  Effect.asVoid
))
`

it.live(
  "a program whose reader goes, as after a pipe to head, ends as after Ctrl-C, with what it does then",
  () =>
    Effect.async<void>((resume) => {
      const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
        stdio: ["ignore", "pipe", "pipe"]
      })
      let said = ""
      child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()))
      child.stdout.once("data", () => child.stdout.destroy())
      child.on("close", (code) => {
        resume(Effect.sync(() => assert.deepStrictEqual([code, said], [130, "saved"])))
      })
    }),
  60_000
)
