import { Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Asking from "./asking.js"
import { folder, server } from "./program.js"

const small = ["--temperature", "0", "--max-tokens", "5"]

it.scopedLive("takes each line of the standard input for a message, and writes the model's words alone to standard output", () =>
  Effect.gen(function*() {
    const { faults, line } = yield* server()
    const place = yield* folder
    const tokenizer = Asking.byteTokenizer(place)
    const file = join(place, "talk.jsonl")
    const stdin = ["Hi.", "", "/system Be brief.", "//slash", `/save ${file}`, "/reset", "/temperature", "Ho."].join(
      "\n"
    )
    const { code, stderr, stdout } = yield* line(["chat", "bigram", "--tokenizer", tokenizer, ...small], { stdin })
    assert.strictEqual(code, 0, stderr)
    assert.match(stderr, /^Nothing says[^\n]*\nbigram, at the service\n/)
    assert.include(stderr, "The system says this from now on.")
    assert.include(stderr, "The temperature is 0.")
    assert.notInclude(stderr, "> ")
    const { messages } = JSON.parse(readFileSync(file, "utf8")) as { messages: ReadonlyArray<Record<string, string>> }
    assert.deepStrictEqual(messages.map(({ role }) => role), ["system", "user", "assistant", "user", "assistant"])
    assert.deepStrictEqual(
      [messages[0]!["content"], messages[1]!["content"], messages[3]!["content"]],
      ["Be brief.", "Hi.", "/slash"]
    )
    assert.isTrue(stdout.startsWith(`${messages[2]!["content"]}\n${messages[4]!["content"]}\n`))
    assert.strictEqual((yield* faults.requestCounts).get("asample"), 3)
    // What is saved is what training reads.
    assert.strictEqual((yield* line(["data", "check", file, "--tokenizer", tokenizer])).code, 0)
  }))

it.scopedLive("reads all lines of a pipe, however they come, and ends with it", () =>
  Effect.gen(function*() {
    const { faults, tinker } = yield* server()
    const tokenizer = Asking.byteTokenizer(yield* folder)
    const stdin = "one\r\ntwo\n\nthree"
    const { code, stderr, stdout } = yield* tinker(["chat", "bigram", "--tokenizer", tokenizer, ...small], { stdin })
    assert.strictEqual(code, 0, stderr)
    assert.notInclude(stderr, "> ")
    assert.isNotEmpty(stdout)
    assert.strictEqual((yield* faults.requestCounts).get("asample"), 3)
  }), 30_000)

it.scopedLive("goes on where somebody types and something fails, and leaves that turn out; where nobody does it ends", () =>
  Effect.gen(function*() {
    const { faults, line } = yield* server()
    const place = yield* folder
    const tokenizer = Asking.byteTokenizer(place)
    const words = ["chat", "bigram", "--tokenizer", tokenizer, ...small]
    const fail = faults.plan({ path: "asample", fault: Faults.answer(400, { body: { detail: "no" } }) })
    const file = join(place, "a.jsonl")
    yield* fail
    const typed = yield* line(words, {
      answers: [
        "one",
        "two",
        "/temprature 1",
        "/temperature hot",
        "/save",
        `/save ${file}`,
        `/save ${file}`,
        "/help",
        "/exit",
        "no"
      ]
    })
    assert.strictEqual(typed.code, 0, typed.stderr)
    assert.match(typed.stderr, /warning: [^\n]*400/)
    assert.match(typed.stderr, /there is no command \/temprature\. Was \/temperature meant\?/)
    assert.match(typed.stderr, /\/temperature "hot": it must be a number/)
    assert.match(typed.stderr, /\/save: to which file\?/)
    assert.match(typed.stderr, /2 messages written to .*a\.jsonl\n[^\n]*a\.jsonl is there already/)
    assert.match(typed.stderr, /\/system TEXT {4}What the system says/)
    assert.strictEqual(JSON.parse(readFileSync(file, "utf8")).messages[0].content, "two")
    assert.strictEqual((yield* faults.requestCounts).get("asample"), 2)
    yield* fail
    const piped = yield* line(words, { stdin: "one\ntwo\n" })
    assert.deepStrictEqual([piped.code, piped.stdout], [1, ""])
    const json = yield* line([...words, "--json"])
    assert.strictEqual(json.code, 2)
    assert.match(json.stderr, /tinker sample --messages/)
  }))

it.scopedLive("refuses a checkpoint whose renderer it does not know, and says nothing where the checkpoint says role", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const tokenizer = Asking.byteTokenizer(yield* folder)
    const known = yield* Asking.save(url, { renderer: "role" })
    const told = yield* line(["chat", known.weights, "--tokenizer", tokenizer, ...small], { stdin: "Hi." })
    assert.strictEqual(told.code, 0, told.stderr)
    assert.notInclude(told.stderr, "Nothing says")
    const unknown = yield* Asking.save(url, { renderer: "harmony" })
    const { code, stderr } = yield* line(["chat", unknown.sampler, "--tokenizer", tokenizer], { stdin: "Hi." })
    assert.strictEqual(code, 2)
    assert.include(stderr, "was trained with the renderer \"harmony\"")
  }))

const hasTerminals = spawnSync("script", ["--version"]).stdout?.includes("util-linux") === true

const entry = fileURLToPath(new URL("../build/program/bin/tinker.js", import.meta.url))

/** Runs the program in a terminal of its own, in which one types when what is awaited has been shown. */
const inTerminal = (
  args: ReadonlyArray<string>,
  steps: ReadonlyArray<readonly [awaited: RegExp, act: Effect.Effect<string>]>,
  env: Readonly<Record<string, string>>
) =>
  Effect.gen(function*() {
    const home = mkdtempSync(join(tmpdir(), "tinker-terminal-"))
    yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(home, { recursive: true, force: true })))
    const command = join(home, "run.sh")
    writeFileSync(command, `exec ${[process.execPath, entry, ...args].map((word) => `'${word}'`).join(" ")}\n`)
    return yield* Effect.async<{ readonly code: number | null; readonly shown: string }>((resume) => {
      const child = spawn("script", ["-qec", `sh ${command}`, "/dev/null"], {
        env: { PATH: process.env.PATH, HOME: home, TERM: "xterm", ...env },
        stdio: ["pipe", "pipe", "ignore"]
      })
      const left = [...steps]
      let shown = ""
      let from = 0
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        shown += text
        const found = left[0]?.[0].exec(shown.slice(from))
        if (!found) return
        from += found.index + found[0].length
        void Effect.runPromise(left.shift()![1]).then((typed) => child.stdin.write(typed))
      })
      child.on("close", (code) => resume(Effect.succeed({ code, shown })))
      return Effect.sync(() => void child.kill("SIGKILL"))
    })
  })

it.scopedLive.skipIf(!hasTerminals)(
  `in a terminal, Ctrl-C stops an answer and no more, and leaves at the prompt, as Ctrl-D does${
    hasTerminals ? "" : " (skipped: there is no script of util-linux to make a terminal)"
  }`,
  () =>
    Effect.gen(function*() {
      const { faults, url } = yield* server()
      const tokenizer = Asking.byteTokenizer(yield* folder)
      const words = ["chat", "bigram", "--tokenizer", tokenizer, ...small]
      const pause = faults.pauseQueue({ state: "paused_capacity", reason: "no GPU is free" })
      const resume = faults.resumeQueue()
      const stopped = yield* inTerminal(words, [
        [/> /, Effect.as(pause, "first\r")],
        [/…/, Effect.succeed("\u0003")],
        [/Stopped\.[^>]*> /, Effect.as(resume, "second\r")],
        [/cut off after 5 tokens[^>]*> /, Effect.succeed("\u0003")]
      ], { TINKER_BASE_URL: url })
      assert.strictEqual(stopped.code, 0, stopped.shown)
      const ended = yield* inTerminal(words, [[/> /, Effect.succeed("\u0004")]], { TINKER_BASE_URL: url })
      assert.strictEqual(ended.code, 0, ended.shown)
    }),
  60_000
)
