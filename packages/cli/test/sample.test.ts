import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Asking from "./asking.js"
import { folder, line as localLine, server } from "./program.js"

it.scopedLive("refuses a line that asks for what cannot be before anything is sent", () =>
  Effect.gen(function*() {
    const { faults, line } = yield* server()
    const place = yield* folder
    const file = (name: string, text: string) => {
      writeFileSync(join(place, name), text)
      return join(place, name)
    }
    const wrong: ReadonlyArray<readonly [says: RegExp, words: ReadonlyArray<string>, stdin?: string]> = [
      [/what is the model to go on with\? Give --prompt, --prompt-file or --messages/, []],
      [/say different things\. Give one of them/, ["--prompt", "a", "--prompt-file", "b"]],
      [/the prompt is empty/, ["--prompt", "-"], ""],
      [/the prompt is empty/, ["--prompt-file", file("none.json", "[]")]],
      [/--prompt-file: .*lost is not there/, ["--prompt-file", join(place, "lost")]],
      [/in which one is no token id/, ["--prompt-file", file("half.json", "[1, 2.5]")]],
      [/in which one is no token id/, ["--prompt-file", file("minus.json", "{\"tokens\": [-1]}")]],
      [/in which one is no token id/, ["--prompt-file", file("words.json", "{\"tokens\": [\"a\"]}")]],
      [/--system is for a conversation/, ["--prompt", "a", "--system", "b"]],
      [/--renderer is for a conversation/, ["--prompt", "a", "--renderer", "role"]],
      [/--messages: .* is no JSON: line 2/, ["--messages", file("broken.json", "[\n{]")]],
      [/is no conversation\. It reads/, ["--messages", file("list.json", "[1]")]],
      [/has a message of "bot"/, ["--messages", file("bot.json", "[{\"role\":\"bot\",\"content\":\"a\"}]")]],
      [/ends with a message of the assistant/, [
        "--messages",
        file("end.json", "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}")
      ]],
      [/begins with a message of the system, and so does --system/, [
        "--messages",
        file("two.json", "[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"a\"}]"),
        "--system",
        "b"
      ]],
      [/--temperature .*-1/, ["--prompt", "a", "--temperature=-1"]],
      [/--top-p .*1\.5/, ["--prompt", "a", "--top-p", "1.5"]],
      [/--top-k .*-2/, ["--prompt", "a", "--top-k=-2"]],
      [/--max-tokens .*0/, ["--prompt", "a", "--max-tokens", "0"]],
      [/--num-samples is 0/, ["--prompt", "a", "--num-samples", "0"]],
      [/--seed is "x"/, ["--prompt", "a", "--seed", "x"]],
      [/is there already, and was left as it is/, ["--prompt", "a", "-o", file("there", "")]],
      [/--force is for a file/, ["--prompt", "a", "--force"]],
      [/external_weights\/a holds files for other programs/, ["tinker://r/external_weights/a", "--prompt", "a"]],
      [/Was tinker:\/\/r:train:0\/weights\/a meant/, ["r:train:0/weights/a", "--prompt", "a"]],
      [/bigram is a model of a service, and --local a folder/, ["bigram", "--local", place, "--prompt", "a"]],
      [/--model is the base model of a run/, ["--model", place, "--prompt", "a"]],
      [/is not the folder of a run/, ["tinker://r/weights/a", "--local", place, "--prompt", "a"]],
      [/A folder has a tokenizer of its own/, ["--local", place, "--tokenizer", place, "--prompt", "a"]]
    ]
    for (const [says, words, stdin] of wrong) {
      const { code, stderr, stdout } = yield* line(["sample", ...words], { stdin })
      assert.match(stderr, says, words.join(" "))
      assert.deepStrictEqual([code, stdout], [2, ""], words.join(" "))
    }
    const both = yield* line(["sample", "--prompt", "a", "--json", "--jsonl"])
    assert.match(both.stderr, /--json is one document, and --jsonl a line an answer/)
    assert.strictEqual((yield* faults.requestCounts).size, 0)
  }))

it.scopedLive("gives the answer alone on standard output, as text, a document, or a line each", () =>
  Effect.gen(function*() {
    const { line } = yield* server()
    const place = yield* folder
    const tokenizer = Asking.byteTokenizer(place)
    const words = ["sample", "--tokenizer", tokenizer, "--max-tokens", "6", "--temperature", "0"]
    const text = yield* line([...words, "bigram", "--prompt", "ab"])
    assert.strictEqual(text.code, 0, text.stderr)
    assert.match(text.stderr, /6 tokens, cut off at --max-tokens, -\d+\.\d{3} nats\/token\n$/)
    const json = JSON.parse((yield* line([...words, "--prompt", "ab", "--json"])).stdout)
    assert.deepInclude(json, { base_model: "bigram", checkpoint: null, prompt_tokens: 2 })
    const [sequence] = json.sequences
    assert.deepInclude(sequence, { index: 0, stop_reason: "length" })
    assert.lengthOf(sequence.tokens, 6)
    assert.lengthOf(sequence.logprobs, 6)
    assert.strictEqual(text.stdout, `${sequence.text}\n`)
    // Token ids are sent as they are, from a file or the standard input; all else is text.
    writeFileSync(join(place, "ids.json"), "{\"tokens\": [97, 98]}")
    const prompts = [
      [["--prompt-file", join(place, "ids.json")], ""],
      [["--prompt-file", "-"], "[97, 98]"],
      [["--prompt-file", "-"], "ab"],
      [["--prompt", "-"], "ab"]
    ] as const
    for (const [more, stdin] of prompts) {
      assert.strictEqual((yield* line([...words, "bigram", ...more], { stdin })).stdout, text.stdout, more.join(" "))
    }
    const asText = JSON.parse((yield* line([...words, "--prompt-file", "-", "--json"], { stdin: "[\"a\"]" })).stdout)
    assert.strictEqual(asText.prompt_tokens, 5)
    const lines = yield* line([...words, "bigram", "--prompt", "ab", "--num-samples", "3", "--jsonl"])
    const rows = lines.stdout.trimEnd().split("\n").map((row) => JSON.parse(row))
    assert.deepStrictEqual(rows.map(({ index }) => index), [0, 1, 2])
    assert.strictEqual(rows[2].text, sequence.text)
    const file = join(place, "answers", "a.txt")
    const written = yield* line([...words, "--prompt", "ab", "--num-samples", "2", "--output", file])
    assert.strictEqual(written.stdout, "")
    assert.strictEqual(
      readFileSync(file, "utf8"),
      `Sample 1:\n${sequence.text}\n\nSample 2:\n${sequence.text}\n`
    )
  }))

it.scopedLive("draws by the seed, and ends at each of the stops that it is given", () =>
  Effect.gen(function*() {
    const { line } = yield* server()
    const tokenizer = Asking.byteTokenizer(yield* folder)
    const drawn = (...more: ReadonlyArray<string>) =>
      Effect.map(
        line(["sample", "--tokenizer", tokenizer, "--prompt", "ab", "--max-tokens", "40", "--json", ...more]),
        ({ stdout }) => JSON.parse(stdout).sequences[0] as { tokens: Array<number>; stop_reason: string }
      )
    const first = yield* drawn("--seed", "7")
    assert.deepStrictEqual((yield* drawn("--seed", "7")).tokens, first.tokens)
    assert.notDeepEqual((yield* drawn("--seed", "8")).tokens, first.tokens)
    const stops = first.tokens.filter((token) => token > 32 && token < 127).slice(0, 2)
    const stopped = yield* drawn("--seed", "7", ...stops.flatMap((token) => ["--stop", String.fromCharCode(token)]))
    assert.strictEqual(stopped.stop_reason, "stop")
    assert.strictEqual(stopped.tokens.at(-1), first.tokens.find((token) => stops.includes(token)))
  }))

it.scopedLive("samples a checkpoint of either kind, and says which models there are for one that is not there", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const tokenizer = Asking.byteTokenizer(yield* folder)
    const { sampler, weights } = yield* Asking.save(url)
    const before = JSON.parse((yield* line(["checkpoint", "list", "--limit", "0", "--json"])).stdout)
    const words = ["--tokenizer", tokenizer, "--prompt", "ab", "--temperature", "0", "--max-tokens", "6"]
    const [ofWeights, ofSampler, ofBase] = yield* Effect.forEach(
      [weights, sampler, "bigram"],
      (model) => line(["sample", model, ...words])
    )
    assert.strictEqual(ofWeights!.code, 0, ofWeights!.stderr)
    // A model that was not trained answers as its base.
    assert.strictEqual(ofWeights!.stdout, ofBase!.stdout)
    assert.strictEqual(ofSampler!.stdout, ofBase!.stdout)
    const after = JSON.parse((yield* line(["checkpoint", "list", "--limit", "0", "--json"])).stdout)
    assert.strictEqual(after.checkpoints.length, before.checkpoints.length)
    const missing = yield* line(["sample", "mammoth", ...words])
    assert.strictEqual(missing.code, 2)
    assert.match(missing.stderr, /the service cannot sample mammoth\. It can sample: bigram\./)
    assert.strictEqual((yield* line(["sample", weights.replace("final", "nope"), ...words])).code, 4)
    const long = yield* line(["sample", "bigram", ...words.slice(0, 2), "--prompt", "ab", "--max-tokens", "1023"])
    assert.strictEqual(long.code, 2)
    assert.match(long.stderr, /the prompt has 2 tokens and --max-tokens is 1023, which is more than the 1024/)
  }))

it.scopedLive("writes a conversation as the checkpoint was trained, and refuses a renderer that it does not know by its name", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const place = yield* folder
    const tokenizer = Asking.byteTokenizer(place)
    const messages = join(place, "talk.json")
    writeFileSync(messages, JSON.stringify([{ role: "user", content: "Hi." }]))
    const words = ["--tokenizer", tokenizer, "--messages", messages, "--max-tokens", "5", "--json"]
    const known = yield* Asking.save(url, { renderer: "role" })
    const answer = yield* line(["sample", known.weights, ...words])
    assert.strictEqual(JSON.parse(answer.stdout).prompt_tokens, "user: Hi.\n\nassistant:".length)
    assert.notInclude(answer.stderr, "Nothing says")
    const withSystem = JSON.parse((yield* line(["sample", "bigram", ...words, "--system", "Be."])).stdout)
    assert.strictEqual(withSystem.prompt_tokens, "system: Be.\n\nuser: Hi.\n\nassistant:".length)
    assert.match(
      (yield* line(["sample", "bigram", ...words])).stderr,
      /Nothing says how conversations were written for this model; they are written as plain text \(renderer "role"\)/
    )
    for (const key of ["renderer", "renderer_name"]) {
      const { sampler } = yield* Asking.save(url, { [key]: "harmony" })
      const unknown = yield* line(["sample", sampler, ...words])
      assert.strictEqual(unknown.code, 2)
      assert.match(
        unknown.stderr,
        /sampler_weights\/final was trained with the renderer \\?"harmony\\?", which is not known/
      )
      assert.strictEqual((yield* line(["sample", sampler, ...words, "--renderer", "role"])).code, 0)
    }
    assert.match(
      (yield* line(["sample", "bigram", ...words, "--renderer", "x"])).stderr,
      /--renderer is \\?"x\\?".*role/
    )
  }))

it.scopedLive(
  "samples what a run on this machine has left, by its folder, and leaves the folder as it was",
  () =>
    Effect.gen(function*() {
      const out = join(yield* folder, "run")
      const data = join(out, "..", "data.jsonl")
      const messages = join(out, "..", "talk.json")
      writeFileSync(
        data,
        JSON.stringify({ messages: [{ role: "user", content: "Hi." }, { role: "assistant", content: "Ho." }] })
      )
      writeFileSync(messages, JSON.stringify([{ role: "user", content: "Hi." }]))
      const trained = yield* localLine(["train", data, "--steps", "1", "--out", out, "--json"])
      assert.strictEqual(trained.code, 0, trained.stderr)
      const { checkpoint } = JSON.parse(trained.stdout)
      const files = () => readdirSync(join(out, "checkpoints"), { recursive: true }).sort()
      const before = files()
      for (const asked of [[], [checkpoint]]) {
        const words = ["sample", ...asked, "--local", out, "--messages", messages, "--max-tokens", "3", "--json"]
        const { code, stderr, stdout } = yield* localLine(words)
        assert.strictEqual(code, 0, stderr)
        assert.notInclude(stderr, "Nothing says")
        assert.deepInclude(JSON.parse(stdout), { base_model: "effect-tinker/tiny-english", checkpoint })
      }
      assert.deepStrictEqual(files(), before)
    }),
  240_000
)

it.scopedLive("samples the model that ships, on this machine, where no service is named", () =>
  Effect.gen(function*() {
    const { code, stderr, stdout } = yield* localLine([
      "sample",
      "--prompt",
      "Once upon a time",
      "--max-tokens",
      "3",
      "--temperature",
      "0",
      "--json"
    ])
    assert.strictEqual(code, 0, stderr)
    assert.strictEqual(JSON.parse(stdout).base_model, "effect-tinker/tiny-english")
    assert.lengthOf(JSON.parse(stdout).sequences[0].tokens, 3)
  }), 120_000)
