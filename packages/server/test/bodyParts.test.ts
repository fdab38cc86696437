import { assert, describe, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import * as Http from "../src/internal/http/http.js"
import * as NumberLists from "../src/internal/http/numberLists.js"
import * as ProtobufParts from "../src/internal/http/protobufParts.js"
import * as JsonNumbers from "../src/internal/resources/jsonNumbers.js"
import { tensorOf } from "../src/internal/resources/trainingJson.js"
import { random } from "./badInput.js"
import * as Wire from "./wire.js"

const bytesOf = (text: string) => new TextEncoder().encode(text)

const anyBody = 2 ** 14
const training = 2 ** 16
/** One more part for so many bytes. */
const bytesOfPart = 256

/** So many of a text, as a list would have them. */
const many = (count: number, text: string) => Array(count).fill(text).join(",")

const refusalOf = (body: string, bounds?: Http.Bounds): string | undefined =>
  Either.match(Http.parseJson(bytesOf(body), bounds), {
    onLeft: ({ detail }) => JSON.stringify(detail),
    onRight: () => undefined
  })

describe("the parts of a body in JSON", () => {
  it("are its keys, commas, arrays and objects, outside of its texts", () => {
    const { depth, keys, parts } = NumberLists.scan(bytesOf(
      "{\"a{,\\\"\":[1,{}],\"b\":{\"c\":\"x,y:[\",\"d\":[[]]}}"
    ))
    // Keys a, b, c, d; commas 3; brackets 6.
    assert.deepStrictEqual({ depth, keys, parts }, { depth: 4, keys: 2, parts: 13 })
  })

  it("are bounded by the length, whichever they are", () => {
    const kinds: Readonly<Record<string, (count: number) => string>> = {
      commas: (count) => `[${many(count, "1")}]`,
      texts: (count) => `[${many(count, "\"\"")}]`,
      lists: (count) => `[${many(Math.floor(count / 2), "[]")}]`,
      keys: (count) => `[${many(Math.floor(count / 3), "{\"a\":1}")}]`
    }
    for (const [kind, make] of Object.entries(kinds)) {
      assert.isUndefined(refusalOf(make(anyBody)), kind)
      assert.match(refusalOf(make(2 * anyBody)) ?? "", /more than \d+ parts/, kind)
      const room = anyBody * bytesOfPart
      assert.isUndefined(refusalOf(make(Math.floor(1.9 * anyBody)).padEnd(room), { text: room }), kind)
    }
  })

  it("are no more than an object can have as keys before it becomes a table", () => {
    const object = (count: number) => `{${Array.from({ length: count }, (_, i) => `"a${i}":1`).join(",")}}`
    assert.isUndefined(refusalOf(object(1024)))
    assert.match(refusalOf(object(1025)) ?? "", /an object .* more than 1024 keys/)
    assert.match(refusalOf(`[[${object(1025)}]]`) ?? "", /more than 1024 keys/)
  })

  it("do not nest deeply, however short the body", () => {
    assert.isUndefined(refusalOf("[".repeat(100) + "]".repeat(100)))
    assert.match(refusalOf("[".repeat(101) + "]".repeat(101)) ?? "", /deeper than 100 levels/)
  })

  it("have little text beside the numbers", () => {
    const long = (bytes: number) => `"${"x".repeat(bytes - 2)}"`
    assert.isUndefined(refusalOf(long(2 ** 20)))
    assert.match(refusalOf(long(2 ** 20 + 1)) ?? "", /more than 1048576 bytes/)
    assert.isUndefined(refusalOf(long(2 ** 20 + 1), JsonNumbers.trainingBounds))
  })
})

describe("lists of numbers in a training request", () => {
  const bodyOf = (list: string) => `{"data":${list}${" ".repeat(5000)}}`

  const dataOf = (list: string) =>
    Either.map(
      Http.parseJson(bytesOf(bodyOf(list)), JsonNumbers.trainingBounds),
      (value) => (value as { readonly data: ArrayLike<number> }).data
    )

  it("are the numbers that JSON makes of them, and no arrays", () => {
    const next = random(1)
    const kinds: ReadonlyArray<() => string> = [
      () => String(Math.floor(next() * 10)),
      () => String(Math.floor(next() * 1e9)),
      () => String(Math.floor(next() * 1e12)),
      () => String(-Math.floor(next() * 1e6)),
      () => String(next() * 100 - 50),
      () => (next() * 1e-20).toExponential()
    ]
    for (let i = 0; i < 200; i++) {
      const allowed = kinds.slice(0, 1 + Math.floor(next() * kinds.length))
      const texts = Array.from(
        { length: 1 + Math.floor(next() * 80) },
        () => allowed[Math.floor(next() * allowed.length)]!()
      )
      const list = `[${texts.join(next() < 0.5 ? "," : " ,\n ")}]`
      const numbers = Either.getOrThrow(dataOf(list))
      // A few are no matter.
      assert.strictEqual(numbers instanceof Float64Array, texts.length >= 32, list)
      assert.deepStrictEqual(Array.from(numbers), JSON.parse(list))
    }
    const long = `[${many(60_000, "0.5")},7]`
    assert.deepStrictEqual(Array.from(Either.getOrThrow(dataOf(long))), JSON.parse(long))
  })

  it("that are none are no JSON", () => {
    for (
      const list of [
        "[1,,2]",
        "[,1]",
        "[1,]",
        "[01]",
        "[1 2]",
        "[.5]",
        "[1e]",
        "[-]",
        "[+1]",
        `[${many(60_000, "0.5")},]`
      ]
    ) {
      assert.isTrue(Either.isLeft(dataOf(list)), list)
    }
  })

  it("stay where they were, beside others that are not lifted", () => {
    const long = many(40, "1")
    const text =
      `{"b":{"tokens":[${long}]},"tokens":[[3],4],"data":[${long}],"shape":[6],"x":"\\"data\\":[7]","y":[${long}]}`
    const value = Either.getOrThrow(Http.parseJson(bytesOf(text.padEnd(5000)), JsonNumbers.trainingBounds))
    assert.deepStrictEqual(
      JSON.parse(
        JSON.stringify(value, (_, part: unknown) => ArrayBuffer.isView(part) ? Array.from(part as Int32Array) : part)
      ),
      JSON.parse(text)
    )
  })

  it("may be long, as far as the body is", () => {
    const most = 2 ** 18
    const list = (count: number, last = "1") => `{"data":[${many(count - 1, "1")},${last}]}`
    assert.isUndefined(refusalOf(list(most), JsonNumbers.trainingBounds))
    assert.match(refusalOf(list(4 * most), JsonNumbers.trainingBounds) ?? "", /more than \d+ numbers/)
    const padded = list(4 * most).padEnd(4 * 6 * most)
    assert.isUndefined(refusalOf(padded, { ...JsonNumbers.trainingBounds, text: Infinity }))
  })

  it("of a tensor are converted where they lie", () => {
    const { data } = Either.getOrThrow(
      Http.parseJson(bytesOf(`{"data":[${many(40, "3")}]}`.padEnd(5000)), JsonNumbers.trainingBounds)
    ) as { readonly data: Float64Array }
    const tensors = { int64: new BigInt64Array(40).fill(3n), float32: new Float32Array(40).fill(3) }
    for (const [dtype, expected] of Object.entries(tensors)) {
      const copy = data.slice()
      const decoded = tensorOf({ data: copy, dtype: dtype as "int64", shape: undefined } as never, "weights").data
      assert.deepStrictEqual(decoded, expected)
      assert.strictEqual(decoded.buffer, copy.buffer)
    }
  })
})

describe("the parts of a pass in protobuf", () => {
  it("are counted through its data, and each datum as several", () => {
    const body = Wire.passBytes("m", 1, { data: [Wire.datum("hello"), Wire.datum("world")] })
    const one = Wire.passBytes("m", 1, { data: [Wire.datum("hello")] })
    const datum = ProtobufParts.count(body, Infinity) - ProtobufParts.count(one, Infinity)
    // Chunk, text and tokens; two inputs of name, tensor, data, type and shape.
    assert.isAbove(datum, 16 + 10)
    assert.isBelow(1024 * datum, training)
  })

  it("are told of bytes that are no message, too", () => {
    for (const bytes of [[0xff], [0x1a], [0x1a, 0xff, 0xff, 0xff], [0x1a, 4, 0x12, 0x80], [7, 7, 7]]) {
      assert.isAtMost(ProtobufParts.count(Uint8Array.from(bytes), 100), 100)
    }
  })

  it.effect("are bounded before anything is made of them", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const empty = (count: number) => {
        const head = Wire.passBytes(modelId, 1, { data: [] })
        const body = new Uint8Array(head.length + 2 * count)
        for (let i = 0; i < count; i++) body.set([0x1a, 0], 2 * i)
        body.set(head, 2 * count)
        return body
      }
      assert.strictEqual((yield* Wire.postBytes("forward_backward", empty(training / 16 + 1000))).status, 422)
      assert.strictEqual((yield* Wire.postBytes("forward_backward", empty(training / 16 - 1000))).status, 200)
    }).pipe(Effect.provide(Wire.server())))
})

it("long lists of numbers have for blanks what JSON has, and nothing else is between their numbers", () => {
  const list = (between: string, number: string) =>
    JSON.stringify({ tokens: 0 }).replace("0", `[${Array(5000).fill(number).join(`,${between}`)}]`)
  for (const number of ["7", "0.5"]) {
    for (let code = 0; code <= 0x20; code++) {
      const body = list(String.fromCharCode(code), number)
      let isJson = true
      try {
        JSON.parse(body)
      } catch {
        isJson = false
      }
      const read = Http.parseJson(bytesOf(body), JsonNumbers.trainingBounds)
      assert.strictEqual(Either.isRight(read), isJson, `${number} and the byte ${code}`)
    }
  }
})

describe("lists of a sample that are looked at part by part", () => {
  const ask = (options: Record<string, unknown>) =>
    Effect.gen(function*() {
      const sampler = yield* Wire.createSampler(yield* Wire.createSession)
      return yield* Wire.sample(sampler.body.sampling_session_id, options)
    })

  it.effect("have a bound of their own", () =>
    Effect.gen(function*() {
      const stops = (count: number) => ask({ sampling_params: { max_tokens: 1, stop: Array(count).fill("a") } })
      assert.strictEqual((yield* stops(1024)).status, 200)
      assert.include(JSON.stringify((yield* stops(1025)).body), "it may have 1024")
      const chunks = (count: number) =>
        ask({ prompt: { chunks: Array(count).fill({ type: "encoded_text", tokens: [1] }) } })
      assert.strictEqual((yield* chunks(4096)).status, 200)
      assert.include(JSON.stringify((yield* chunks(4097)).body), "it may have 4096")
    }).pipe(Effect.provide(Wire.server({ engine: { maxContextLength: 8192 } }))))

  it.effect("may be long tensors and prompts of several texts", () =>
    Effect.gen(function*() {
      const chunk = { type: "encoded_text", tokens: Array(30_000).fill(7) }
      const prompt = { chunks: [chunk, chunk] }
      const sampled = yield* ask({
        prompt,
        prompt_logprobs: true,
        target_prompt_logprobs: { data: Array(59_999).fill(7), shape: [59_999, 1], dtype: "int64" }
      })
      assert.strictEqual(sampled.status, 200)
      const { body } = yield* Wire.result(sampled)
      assert.lengthOf(body.prompt_logprobs as ReadonlyArray<unknown>, 60_000)
    }).pipe(Effect.provide(Wire.server({ engine: { maxContextLength: 65_536 } }))))
})
