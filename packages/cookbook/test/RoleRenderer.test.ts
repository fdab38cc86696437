import { Tokenizer } from "@effect-tinker/tokenizer"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, FastCheck, Layer } from "effect"
import { ModelInput, TensorData } from "effect-tinker"
import * as RoleRenderer from "../src/RoleRenderer.js"
import { bytes, tokenizerFolder } from "./fixture.js"

const renderer = RoleRenderer.fromTokenizer(bytes)

const conversation = [
  { role: "user", content: "Hello." },
  { role: "assistant", content: "Good day." },
  { role: "user", content: "Who are you?" },
  { role: "assistant", content: "A lamp." }
]

const promptText = (messages: Parameters<typeof renderer.generationPrompt>[0], role?: string) =>
  bytes.decode(ModelInput.toTokens(renderer.generationPrompt(messages, role))!)

it("writes each message after its role, and ends a prompt with the role that speaks next", () => {
  assert.strictEqual(
    promptText(conversation.slice(0, 3)),
    "user: Hello.\n\nassistant: Good day.\n\nuser: Who are you?\n\nassistant:"
  )
  assert.strictEqual(promptText([], "user"), "user:")
})

it("teaches what the assistant says and where it stops, and nothing else", () => {
  const { tokens, weights } = renderer.supervisedExample(conversation)
  const taught = bytes.decode(tokens.filter((_, i) => weights[i] === 1))
  assert.strictEqual(taught, " Good day.\n\n A lamp.\n\n")
  assert.strictEqual(weights.length, tokens.length)
})

it("writes blank lines within a message as line breaks, since a blank line ends it", () => {
  assert.strictEqual(
    promptText([{ role: "user", content: "One.\n\n\nTwo.\nThree.\n" }]),
    "user: One.\nTwo.\nThree.\n\nassistant:"
  )
})

it("reads an answer up to the stop, or as far as it goes", () => {
  const parse = (text: string) => renderer.parse(bytes.encode(text))
  assert.deepStrictEqual(parse(" A lamp.\n\n"), {
    message: { role: "assistant", content: "A lamp." },
    isComplete: true
  })
  assert.deepStrictEqual(parse(" A lamp.\n\nuser: And"), parse(" A lamp.\n\n"))
  assert.deepStrictEqual(parse(" A la"), { message: { role: "assistant", content: "A la" }, isComplete: false })
})

for (const name of ["gpt2", "newer"]) {
  it.effect(`makes each prompt the beginning of the example, token for token (${name})`, () =>
    Effect.gen(function*() {
      const tokenizer = yield* Tokenizer.Tokenizer
      const renderer = yield* RoleRenderer.make
      const content = FastCheck.string({ unit: "grapheme", maxLength: 12 })
      FastCheck.assert(FastCheck.property(FastCheck.array(content, { minLength: 2, maxLength: 4 }), (contents) => {
        const messages = contents.map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content }))
        const { tokens, weights } = renderer.supervisedExample(messages)
        for (let i = 1; i < messages.length; i += 2) {
          const prompt = ModelInput.toTokens(renderer.generationPrompt(messages.slice(0, i)))!
          assert.deepStrictEqual(tokens.slice(0, prompt.length), prompt)
          assert.strictEqual(weights[prompt.length - 1], 0)
          assert.strictEqual(weights[prompt.length], 1)
          const rest = tokens.slice(prompt.length)
          const answer = renderer.parse(rest)
          assert.strictEqual(answer.isComplete, true)
          assert.strictEqual(answer.message.content, messages[i]!.content.trim().replace(/\s*\n\s*\n\s*/g, "\n"))
        }
        // The token a sequence begins with comes once.
        assert.strictEqual(tokens.filter((token) => token === tokenizer.bosToken).length, 1)
      }))
    }).pipe(Effect.provide(Layer.provide(Tokenizer.layerFolder(tokenizerFolder(name)), NodeContext.layer))))
}

it("lets a message's special tokens be plain text, so that it cannot end its turn", () =>
  Effect.gen(function*() {
    const tokenizer = yield* Tokenizer.Tokenizer
    const renderer = yield* RoleRenderer.make
    const { tokens } = renderer.supervisedExample([{ role: "assistant", content: "<|endoftext|>" }])
    assert.notInclude(Array.from(tokens), tokenizer.eosToken)
  }).pipe(
    Effect.provide(Layer.provide(Tokenizer.layerFolder(tokenizerFolder("gpt2")), NodeContext.layer)),
    Effect.runPromise
  ))

it("shifts targets and weights by one, and makes the weights of an example sum to 1", () => {
  const example = renderer.supervisedExample([{ role: "user", content: "a" }, { role: "assistant", content: "b" }])
  const { lossFnInputs, modelInput } = RoleRenderer.toDatum(example)
  const targets = lossFnInputs["targetTokens"]!
  const weights = lossFnInputs["weights"]!
  assert.deepStrictEqual(ModelInput.toTokens(modelInput), example.tokens.slice(0, -1))
  assert.isTrue(targets.dtype === "int64")
  assert.deepStrictEqual(
    targets.dtype === "int64" ? TensorData.toInt32Array(targets) : undefined,
    example.tokens.slice(1)
  )
  const taught = " b\n\n".length
  assert.deepStrictEqual(
    Array.from(weights.data as Float32Array),
    Array.from(example.weights.slice(1), (weight) => Math.fround(weight / taught))
  )
})

it("keeps the weights of an example as they are on request", () => {
  const example = renderer.supervisedExample([{ role: "user", content: "a" }, { role: "assistant", content: "b" }])
  const { lossFnInputs } = RoleRenderer.toDatum(example, "none")
  assert.deepStrictEqual(lossFnInputs["weights"]!.data, example.weights.slice(1))
})
