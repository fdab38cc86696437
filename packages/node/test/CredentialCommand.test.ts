import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted, TestClock } from "effect"
import { Credentials } from "effect-tinker"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { CredentialCommand } from "../src/index.js"
import { until } from "./fixture.js"

const run = (command: string) =>
  Effect.flatMap(Credentials.CredentialCommand, (commands) => commands.run(command)).pipe(
    Effect.provide(Layer.provide(CredentialCommand.layer, NodeContext.layer))
  )

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "tinker-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

it.effect("gives what the command prints, without the white space around it, through the shell", () =>
  Effect.gen(function*() {
    assert.strictEqual(Redacted.value(yield* run("printf ' tml-%s\\n\\n' key | cat")), "tml-key")
  }))

it.effect("reads output of any length, whatever the command says beside it", () =>
  Effect.gen(function*() {
    const script = "process.stderr.write('x'.repeat(300000)); process.stdout.write('y'.repeat(300000))"
    const output = yield* run(`"${process.execPath}" -e "${script}"`)
    assert.strictEqual(Redacted.value(output).length, 300_000)
  }))

const failures: ReadonlyArray<readonly [string, string, string]> = [
  ["fails", "echo secret; echo private >&2; exit 3", "status 3"],
  ["prints nothing", "true", "printed nothing"],
  ["is not there", "no-such-program-at-all", "status 127"],
  ["is killed", "echo secret; kill -9 $$", "killed"]
]
for (const [what, command, said] of failures) {
  it.effect(`a command that ${what} is told by its end, without a word of what it wrote`, () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run(command))
      assert.strictEqual(error.field, "credentialCommand")
      assert.include(error.message, said)
      assert.notMatch(error.message + JSON.stringify(error), /secret|private/)
    }))
}

/** A command that never ends, the file to which it writes its process id, and whether that still runs. */
const endless = Effect.map(folder, (folder) => {
  const file = join(folder, "pid")
  const pid = () => Number(readFileSync(file, "utf8"))
  const runs = () => {
    try {
      return process.kill(pid(), 0)
    } catch {
      return false
    }
  }
  return { command: `echo $$ > "${file}"; exec sleep 1000`, hasStarted: () => existsSync(file) && pid() > 0, runs }
})

it.scoped("a command that does not end is given up after half a minute, and stopped", () =>
  Effect.gen(function*() {
    const { command, hasStarted, runs } = yield* endless
    const running = yield* Effect.fork(Effect.flip(run(command)))
    yield* until(hasStarted)
    yield* TestClock.adjust("29 seconds")
    assert.isTrue(runs())
    yield* TestClock.adjust("1 second")
    assert.include((yield* Fiber.join(running)).message, "30s")
    yield* until(() => !runs())
  }))

it.scoped("interrupting whoever waits stops the command", () =>
  Effect.gen(function*() {
    const { command, hasStarted, runs } = yield* endless
    const running = yield* Effect.fork(run(command))
    yield* until(hasStarted)
    yield* Fiber.interrupt(running)
    yield* until(() => !runs())
  }))
