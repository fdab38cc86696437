import { assert, describe, it } from "@effect/vitest"
import { Either, FastCheck, Schema } from "effect"
import { SamplingMessages } from "effect-tinker"
import * as PromptTokens from "../src/internal/fast/promptTokens.js"
import * as SampleBody from "../src/internal/resources/sampleBody.js"

const bytes = (text: string) => new TextEncoder().encode(text)

/** A request with its prompt and other fields as they are given. */
const requestOf = (prompt: string, rest = "") =>
  `{"sampling_session_id":"s:sample:0","seq_id":7,"prompt":${prompt},"sampling_params":{"max_tokens":4}${rest}}`

const textOf = (tokens: string) => `{"chunks":[{"type":"encoded_text","tokens":${tokens}}]}`

const lifted = (text: string) => {
  const found = PromptTokens.extract(bytes(text))
  return found && { tokens: Array.from(found.tokens), rest: new TextDecoder().decode(found.rest) }
}

/** What the schema alone makes of it. */
const whole = (text: string) =>
  Schema.decodeUnknownSync(SamplingMessages.SampleRequest)({ ...(JSON.parse(text) as object), seq_id: undefined })

describe("the question for a sample", () => {
  it("lifts tokens out of a request that has one list of them", () => {
    for (const list of ["[1,20,300]", "[1, 20, 300]", "[ 1 ,20 , 300 ]"]) {
      assert.deepStrictEqual(lifted(requestOf(textOf(list))), { tokens: [1, 20, 300], rest: requestOf(textOf("[]")) })
    }
    assert.deepStrictEqual(lifted(`{"tokens" : [0]}`), { tokens: [0], rest: `{"tokens" : []}` })
    const many = Array.from({ length: 40_000 }, (_, i) => i * 24_999)
    assert.deepStrictEqual(lifted(textOf(JSON.stringify(many)))?.tokens, many)
  })

  it("leaves everything else to the parser of JSON", () => {
    const others = [
      "[]",
      "[-1]",
      "[1.5]",
      "[1e3]",
      "[01]",
      "[1,]",
      "[,1]",
      "[1 2]",
      "[1,,2]",
      "[1,[2]]",
      "[9999999999]"
    ]
    for (const list of [...others, "[\"1\"]", "[1", "[1\n]", "null", "{\"a\":[1]}"]) {
      assert.isUndefined(lifted(requestOf(textOf(list))), list)
    }
    assert.isUndefined(lifted(requestOf(textOf("[1]"), `,"tokens":[2]`)))
    assert.isUndefined(lifted(requestOf(`{"chunks":[{"type":"encoded_text","\\u0074okens":[]}]}`, `,"tokens":[2]`)))
    assert.isUndefined(lifted(requestOf(textOf("[1]"), `,"\\u0074okens":[2]`)))
    assert.isUndefined(lifted(`{"a \\"tokens":[1]}`))
    assert.isUndefined(lifted(`{"stop":"tokens"}`))
  })

  it("is the same whether its tokens were lifted or not", () => {
    const list = FastCheck.array(FastCheck.integer({ min: 0, max: 2 ** 31 - 1 }), { maxLength: 20 })
    const chunk = FastCheck.record({ type: FastCheck.constant("encoded_text"), tokens: list })
    const image = FastCheck.constant({ type: "image", data: "AAAA", format: "png" })
    const prompt = FastCheck.record({ chunks: FastCheck.array(FastCheck.oneof(chunk, image), { maxLength: 3 }) })
    const params = FastCheck.record({ stop: FastCheck.array(FastCheck.string(), { maxLength: 2 }) })
    const other = FastCheck.constantFrom({}, { tokens: [1, 2] }, { other: { tokens: [3] } }, { "a\"tokens": [4] })
    const spacing = FastCheck.constantFrom(undefined, 1)
    FastCheck.assert(
      FastCheck.property(prompt, params, other, spacing, (prompt, sampling_params, other, spacing) => {
        const fields = { sampling_session_id: "s:sample:0", seq_id: 7, prompt, sampling_params, ...other }
        const text = JSON.stringify(fields, null, spacing)
        const question = Either.getOrThrow(SampleBody.read(bytes(text)))
        assert.deepStrictEqual(question, { samplerId: "s:sample:0", seqId: "7", wanted: whole(text) })
      }),
      { seed: 1, numRuns: 300 }
    )
  })

  it("says what is wrong with a request whose tokens could be lifted", () => {
    const refused = Either.getOrThrow(Either.flip(SampleBody.read(bytes(`{"prompt":${textOf("[1,2]")}}`))))
    assert.strictEqual(refused.status, 422)
    assert.include(JSON.stringify(refused.detail), "sampling_params")
  })
})
