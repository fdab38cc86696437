import { Command, Options } from "@effect/cli"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Console, Effect } from "effect"
import * as CommandLine from "../src/CommandLine.js"
import * as NumberOption from "../src/NumberOption.js"
import { UsageError } from "../src/UsageError.js"

const flags = {
  steps: NumberOption.make("steps", { description: "Steps", isInteger: true, fallback: 3 }),
  port: NumberOption.make("port", { description: "Port", isInteger: true, bounds: [0, 65535], fallback: 8787 }),
  learningRate: NumberOption.make("learning-rate", { description: "Rate", fallback: 0.1 }),
  keyFile: Options.text("key-file").pipe(Options.optional),
  model: Options.text("model").pipe(Options.repeated),
  remote: Options.boolean("remote")
}

const known = CommandLine.known(flags, ["model"])

/** What is said of arguments, where also what the library prints counts; nothing when they can be read. */
const said = (...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const printed: Array<string> = []
    const command = Command.make("test", flags, () => Effect.void)
    const console = yield* Console.consoleWith(Effect.succeed)
    const print = (text: unknown) => Effect.sync(() => void printed.push(String(text)))
    const error = yield* CommandLine.run(command, { name: "test", known })(["node", "test", ...args]).pipe(
      Effect.withConsole({ ...console, error: print, log: print }),
      Effect.match({ onFailure: (error) => error, onSuccess: () => undefined }),
      Effect.provide(NodeContext.layer)
    )
    if (error === undefined) return printed.join("")
    assert.instanceOf(error, UsageError)
    assert.deepStrictEqual(printed, [])
    return error.message
  })

it("knows the options of a command, and which of them are switches", () => {
  assert.deepStrictEqual(known, {
    values: ["steps", "port", "learning-rate", "key-file", "model"],
    repeated: ["model"],
    switches: ["remote"]
  })
})

it.effect("says what is wrong with an option by its name, once, and nothing of those that are right", () =>
  Effect.gen(function*() {
    const wrong: ReadonlyArray<readonly [what: string, args: ReadonlyArray<string>]> = [
      ["--steps is given without its value", ["--steps"]],
      ["--steps is given without its value", ["--remote", "--steps", "--port", "1"]],
      ["--steps is given without its value", ["--steps="]],
      ["--key-file is given without its value", ["--key-file", ""]],
      ["--steps is given twice", ["--steps", "3", "--steps", "4"]],
      ["--steps is given twice", ["--steps=3", "--port", "1", "--steps", "3"]],
      ["--remote is given twice", ["--remote", "--remote"]],
      ["--remote is foo; it takes no value. Write it alone.", ["--remote=foo"]],
      ["--remote is given with an empty value; it takes no value. Write it alone.", ["--remote="]],
      ["--steps is many; it must be a whole number.", ["--steps", "many"]],
      ["--steps is 1.5; it must be a whole number.", ["--steps", "1.5"]],
      ["--steps is 0x10; it must be a whole number. Write it in the digits 0 to 9 alone, as 1000.", [
        "--steps",
        "0x10"
      ]],
      ["--steps is 1e3; it must be a whole number. Write it in the digits 0 to 9 alone", ["--steps=1e3"]],
      ["--steps is \" 5 \"; it must be a whole number.", ["--steps", " 5 "]],
      ["--steps is \"5\\n\"; it must be a whole number.", ["--steps", "5\n"]],
      ["--steps is ٣; it must be a whole number.", ["--steps", "٣"]],
      ["--steps is +5; it must be a whole number.", ["--steps", "+5"]],
      ["--steps is 5.0; it must be a whole number.", ["--steps", "5.0"]],
      ["--steps is 9007199254740993; it must be a whole number from -9007199254740991", [
        "--steps",
        "9007199254740993"
      ]],
      ["--port is 0b1; it must be a whole number from 0 to 65535. Write it in the digits", ["--port", "0b1"]],
      ["--port is 65536; it must be a whole number from 0 to 65535.", ["--port", "65536"]],
      ["--port is -1; it must be a whole number from 0 to 65535.", ["--port", "-1"]],
      ["--learning-rate is fast; it must be a number.", ["--learning-rate", "fast"]],
      ["--learning-rate is 0x1; it must be a number. Write it in the digits 0 to 9, as 0.001 or 1e-3.", [
        "--learning-rate",
        "0x1"
      ]],
      ["--learning-rate is Infinity; it must be a number.", ["--learning-rate", "Infinity"]],
      ["--learning-rate is 1e999; it must be a number from ", ["--learning-rate", "1e999"]],
      ["--learning-rate is \" 1\"; it must be a number.", ["--learning-rate", " 1"]],
      ["--learning-rate is .; it must be a number.", ["--learning-rate", "."]],
      ["there is no option --prot. Was --port meant?", ["--prot", "1"]],
      ["there is no option -p.", ["-p", "1"]],
      ["\"5\" belongs to no option", ["5"]],
      ["there is no option --.", ["--", "5"]],
      ["\"5\" belongs to no option", ["--steps", "3", "5"]]
    ]
    for (const [what, args] of wrong) assert.include(yield* said(...args), what, args.join(" "))
    const right: ReadonlyArray<ReadonlyArray<string>> = [
      [],
      ["--steps", "3", "--learning-rate=1e-3", "--remote", "--key-file", "-"],
      ["--model", "a", "--model=b"],
      ["--model", "a", "--remote", "--model", "b", "--steps", "1"],
      ["--steps", "-1", "--learning-rate", "1e-4"],
      ["--steps", "007", "--learning-rate", ".5E+1"],
      ["--learning-rate", "-2."],
      ["--remote", "false", "--steps", "3"],
      ["--remote=true"]
    ]
    for (const args of right) assert.strictEqual(yield* said(...args), "", args.join(" "))
  }))

it.effect("gives help whatever else is there, with the defaults", () =>
  Effect.gen(function*() {
    for (const args of [["--help"], ["--steps", "--help"], ["-h"], ["--help=true"]]) {
      const text = yield* said(...args)
      assert.include(text, "Default: 8787")
      assert.include(text, "--learning-rate number\n")
    }
  }))

it.effect("says nothing in its help that is no news, and of the library's options only those that everybody knows", () =>
  Effect.gen(function*() {
    const text = yield* said("--help")
    assert.notInclude(text, "piece of text")
    assert.notInclude(text, "true or false")
    assert.notInclude(text, "optional")
    assert.notMatch(text, /--(wizard|completions|log-level)/)
    assert.include(text, "-h, --help\n")
    assert.include(text, "--version\n")
    assert.include(yield* said("--completions", "bash"), "complete")
    for (const line of text.split("\n")) assert.isAtMost(line.length, 80)
  }))

it.effect("writes titles of the help bold on a terminal, and no escape code elsewhere", () =>
  Effect.gen(function*() {
    assert.notInclude(yield* said("--help"), "\u001B")
    assert.notInclude(yield* said("--version"), "\u001B")
    const printed: Array<string> = []
    const console = yield* Console.consoleWith(Effect.succeed)
    const command = Command.make("test", flags, () => Effect.void)
    yield* CommandLine.run(command, { name: "test", known, isColored: true })(["node", "test", "--help"]).pipe(
      Effect.withConsole({ ...console, log: (text) => Effect.sync(() => void printed.push(String(text))) }),
      Effect.provide(NodeContext.layer)
    )
    assert.include(printed.join(""), "\u001B[1m--steps integer\u001B[22m\n")
  }))
