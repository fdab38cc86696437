import { Engine } from "@effect-tinker/engine"
import { assert, describe, it } from "@effect/vitest"
import * as Decoder from "../src/Decoder.js"
import type * as DecodingPass from "../src/DecodingPass.js"
import * as KeyValueCache from "../src/KeyValueCache.js"
import * as Llama from "../src/Llama.js"
import * as OnnxRuntime from "../src/OnnxRuntime.js"
import { hashedSnapshot, localEngine, maxDifference, smallLlama, smallRequest } from "./internal/localEngine.js"
import { hashedTokens, hashedWeights } from "./internal/numbers.js"

const llama = smallLlama
const weights = hashedWeights(Llama.weightShapes(llama))
const snapshot = hashedSnapshot(llama, 4)
const adapter: DecodingPass.Adapter = {
  ...snapshot.lora,
  weights: new Map(Array.from(snapshot.weights, ([name, { data }]) => [name, data]))
}

const request = (change: Partial<Engine.SampleRequest> = {}): Engine.SampleRequest => ({ ...smallRequest, ...change })
const prompt = (stream: number, length: number) => hashedTokens(stream, length, llama.vocabularySize)

interface Run {
  readonly rows: number
  /** New tokens of each row. */
  readonly length: number
  readonly capacity: number
  readonly isAdapted: boolean
}

/** A decoder, the runs of its graphs so far, and what to do at the beginning of a run. */
const make = async (
  options: {
    readonly maxCacheBytes?: number
    readonly maxConstantBytes?: number
    readonly config?: Llama.Config
    readonly weights?: ReadonlyMap<string, Float32Array>
  } = {}
) => {
  const { config = llama } = options
  const runtime = await OnnxRuntime.load({ threads: 1 })
  const runs: Array<Run> = []
  const events = new Map<number, () => void>()
  const observed: OnnxRuntime.OnnxRuntime = {
    ...runtime,
    session: async (model, apart) => {
      const session = await runtime.session(model, apart)
      return {
        ...session,
        run: (feeds) => {
          const [rows, length] = feeds["tokens"]!.dims as [number, number]
          runs.push({ rows, length, capacity: feeds["key.0"]!.dims[2]!, isAdapted: "lm_head.A" in feeds })
          events.get(runs.length)?.()
          return session.run(feeds)
        }
      }
    }
  }
  const decoder = Decoder.make({
    runtime: observed,
    config,
    weights: options.weights ?? (config === llama ? weights : hashedWeights(Llama.weightShapes(config))),
    maxContextLength: 512,
    maxCacheBytes: options.maxCacheBytes ?? 2 ** 24,
    maxConstantBytes: options.maxConstantBytes
  })
  const sampler = decoder.sampler(adapter)
  const decode = (tokens: ReadonlyArray<number>) => tokens.map((token) => String.fromCharCode(97 + token)).join("")
  const sample = (change: Partial<Engine.SampleRequest>, signal?: AbortSignal, from = sampler) =>
    from.sample({ request: request(change), decode, signal })
  return { decode, decoder, sampler, sample, runs, at: (run: number, event: () => void) => events.set(run, event) }
}

const alone = async (change: Partial<Engine.SampleRequest>) => (await make()).sample(change)

const assertSame = (actual: Engine.SampleResult, expected: Engine.SampleResult): void => {
  assert.deepStrictEqual(actual.sequences.map(({ tokens }) => tokens), expected.sequences.map(({ tokens }) => tokens))
  actual.sequences.forEach(({ logprobs, stopReason }, i) => {
    assert.isBelow(maxDifference(logprobs, expected.sequences[i]!.logprobs), 1e-5)
    assert.strictEqual(stopReason, expected.sequences[i]!.stopReason)
  })
}

describe("requests together", () => {
  it("get what they get alone, whatever their lengths and whenever they come", async () => {
    const changes = [
      { prompt: prompt(1, 3), maxTokens: 40, seed: 1 },
      { prompt: prompt(2, 70), maxTokens: 9, seed: 2, numSamples: 3 },
      { prompt: prompt(3, 1), maxTokens: 30, seed: 3, temperature: 0.7 },
      { prompt: prompt(4, 20), maxTokens: 25, seed: 4, topK: 5 },
      { prompt: prompt(5, 300), maxTokens: 5, seed: 5, topP: 0.6 }
    ]
    const { at, runs, sample } = await make()
    const results: Array<Promise<Engine.SampleResult>> = [sample(changes[0]!)]
    changes.slice(1).forEach((change, i) => at(4 * (i + 1), () => void results.push(sample(change))))
    await results[0]
    assert.strictEqual(results.length, changes.length)
    for (const [i, change] of changes.entries()) assertSame(await results[i]!, await alone(change))
    assert.isAtLeast(Math.max(...runs.map(({ rows }) => rows)), 5)
  })

  it("leave their places at once when they are done", async () => {
    const { runs, sample } = await make()
    const order: Array<string> = []
    const short = sample({ prompt: prompt(1, 5), maxTokens: 4 }).then(() => order.push("short"))
    const long = sample({ prompt: prompt(2, 5), maxTokens: 12 }).then(() => order.push("long"))
    await Promise.all([short, long])
    assert.deepStrictEqual(order, ["short", "long"])
    const rows = runs.filter(({ length }) => length === 1).map(({ rows }) => rows)
    assert.deepStrictEqual(rows, [2, 2, 2, ...new Array<number>(8).fill(1)])
  })

  it("do not wait while a long prompt is computed: it takes turns with them, a chunk at a time", async () => {
    const { at, runs, sample } = await make()
    at(5, () => void sample({ prompt: prompt(2, 511), maxTokens: 1 }))
    await sample({ prompt: prompt(1, 5), maxTokens: 20 })
    const lengths = runs.map(({ length }) => length)
    assert.deepStrictEqual(lengths.slice(4, 9), [1, 256, 1, 255, 1])
  })

  it("of one prompt compute it once", async () => {
    const { runs, sample } = await make()
    const same = { prompt: prompt(1, 40), maxTokens: 3 }
    const results = await Promise.all([sample({ ...same, numSamples: 4 }), sample({ ...same, seed: 99 })])
    assert.deepStrictEqual(runs.filter(({ length }) => length > 1).map(({ length }) => length), [40])
    assert.deepStrictEqual(results.map(({ promptCacheHitTokens }) => promptCacheHitTokens), [0, 39])
  })

  it("end in the middle when they are cancelled, and the others get what they get alone", async () => {
    const { at, runs, sample } = await make()
    const controller = new AbortController()
    at(6, () => controller.abort(new Error("no longer wanted")))
    const dropped = sample({ prompt: prompt(1, 5), maxTokens: 400, numSamples: 2 }, controller.signal)
    const kept = { prompt: prompt(2, 5), maxTokens: 20 }
    const other = sample(kept)
    assert.strictEqual(await dropped.catch(String), "Error: no longer wanted")
    assertSame(await other, await alone(kept))
    assert.deepStrictEqual(runs.slice(3, 9).map(({ rows }) => rows), [3, 3, 3, 1, 1, 1])
  })

  it("of several samplers take turns", async () => {
    const { decoder, runs, sample } = await make()
    const base = decoder.sampler(undefined)
    const change = { prompt: prompt(1, 5), maxTokens: 8 }
    const [ours, bases] = await Promise.all([sample(change), sample(change, undefined, base)])
    assertSame(ours, await alone(change))
    assert.notDeepEqual(bases.sequences[0]!.logprobs, ours.sequences[0]!.logprobs)
    const decoding = runs.filter(({ length }) => length === 1).map(({ isAdapted }) => isAdapted)
    // The first began before the second came.
    assert.deepStrictEqual(decoding.slice(1, 13), Array.from({ length: 12 }, (_, i) => i % 2 === 0))
  })
})

describe("stop texts", () => {
  it("are looked for in the answer, not where the prompt ends", async () => {
    const { decode, sample } = await make()
    const free = await sample({})
    const said = decode(Array.from(free.sequences[0]!.tokens))
    const across = decode(Array.from(request().prompt.slice(-1))) + said[0]!
    const [first, second] = await Promise.all([
      sample({ stopStrings: [across] }),
      sample({ stopStrings: [said.slice(3, 6)] })
    ])
    assert.deepStrictEqual(first.sequences[0]!.tokens, free.sequences[0]!.tokens)
    assert.strictEqual(
      decode(Array.from(second.sequences[0]!.tokens)),
      said.slice(0, said.indexOf(said.slice(3, 6)) + 3)
    )
    assert.strictEqual(second.sequences[0]!.stopReason, "stop")
  })
})

describe("the bound on caches", () => {
  const position = KeyValueCache.bytesPerPosition(llama)
  const changes = Array.from({ length: 4 }, (_, i) => ({ prompt: prompt(i, 10), maxTokens: 125, seed: i }))

  it("makes those wait that do not fit, and sends the latest back when those that grow no longer fit", async () => {
    // Three sequences fit at first, and not to their end.
    const positions = 3 * 130
    const { runs, sample } = await make({ maxCacheBytes: positions * position / 0.75 })
    const results = await Promise.all(changes.map((change) => sample(change)))
    for (const [i, change] of changes.entries()) assertSame(results[i]!, await alone(change))
    const decoding = runs.filter(({ length }) => length === 1)
    assert.strictEqual(Math.max(...decoding.map(({ rows }) => rows)), 3)
    assert.isAtMost(Math.max(...decoding.map(({ capacity, rows }) => rows * capacity)), positions)
    // Those that were sent back are computed again, the answer so far included.
    assert.isAbove(Math.max(...runs.map(({ length }) => length)), 10)
  })

  it("does not keep a sampler out until all have been served that came before for another", async () => {
    const { decoder, sample } = await make({ maxCacheBytes: 2 * 36 * position / 0.75 })
    const base = decoder.sampler(undefined)
    const done: Array<string> = []
    const ours = changes.map((change, i) => sample({ ...change, maxTokens: 14 + 4 * i }).then(() => done.push("first")))
    const late = sample({ ...changes[0]!, maxTokens: 14 }, undefined, base).then(() => done.push("late"))
    await Promise.all([...ours, late])
    assert.notStrictEqual(done.at(-1), "late")
  })

  it("is not taken up by those that came later for another sampler", async () => {
    const { decoder, sample } = await make({ maxCacheBytes: 166 * position / 0.75 })
    const base = decoder.sampler(undefined)
    const done: Array<string> = []
    const come = (name: string, length: number, maxTokens: number, from?: Decoder.Sampler) =>
      sample({ prompt: prompt(length, length), maxTokens }, undefined, from).then(() => done.push(name))
    // The third has no room until the first is done. The fourth would have it from the beginning.
    await Promise.all([come("1", 10, 14), come("2", 10, 30, base), come("3", 80, 4), come("4", 10, 10, base)])
    assert.deepStrictEqual(done, ["1", "3", "4", "2"])
  })

  it("lets one grow that is larger than all of it", async () => {
    const { runs, sample } = await make({ maxCacheBytes: 1 })
    const [first, second] = await Promise.all([sample(changes[0]!), sample(changes[1]!)])
    assertSame(first, await alone(changes[0]!))
    assertSame(second, await alone(changes[1]!))
    assert.isTrue(runs.every(({ rows }) => rows === 1))
  })
})

describe("prefixes", () => {
  const first = { prompt: prompt(1, 30), maxTokens: 8 }
  const turn = async () => {
    const made = await make()
    const { sequences } = await made.sample(first)
    const said = Int32Array.from([...first.prompt, ...sequences[0]!.tokens])
    return { ...made, said, next: Int32Array.from([...said, ...prompt(2, 5)]) }
  }

  it("of a conversation are not computed again, but for the last token, which never was", async () => {
    const { next, runs, said, sample } = await turn()
    runs.length = 0
    const change = { prompt: next, maxTokens: 6 }
    const result = await sample(change)
    assert.strictEqual(result.promptCacheHitTokens, said.length - 1)
    assert.strictEqual(runs[0]!.length, next.length - said.length + 1)
    assertSame(result, await alone(change))
  })

  it("are computed again where the prompt is scored, and then too for others", async () => {
    const { next, sample } = await turn()
    const change = { prompt: next, maxTokens: 2, promptLogprobs: true, topkPromptLogprobs: 2 }
    const result = await sample(change)
    assert.strictEqual(result.promptCacheHitTokens, 0)
    const expected = await alone(change)
    assert.isBelow(maxDifference(result.promptLogprobs!.slice(1), expected.promptLogprobs!.slice(1)), 1e-5)
    assert.deepStrictEqual(result.topkPromptLogprobs!.tokenIds, expected.topkPromptLogprobs!.tokenIds)
    assert.strictEqual((await sample({ prompt: next, maxTokens: 2 })).promptCacheHitTokens, next.length - 1)
  })

  it("that differ in a token are of use up to it", async () => {
    const { next, sample } = await turn()
    const other = next.slice()
    other[20] = (other[20]! + 1) % llama.vocabularySize
    const change = { prompt: other, maxTokens: 6 }
    const result = await sample(change)
    assert.strictEqual(result.promptCacheHitTokens, 20)
    assertSame(result, await alone(change))
  })

  it("are of no use to other samplers, nor after the sampler is gone", async () => {
    const { decoder, next, sample, sampler } = await turn()
    const elsewhere = await sample({ prompt: next }, undefined, decoder.sampler(adapter))
    assert.strictEqual(elsewhere.promptCacheHitTokens, 0)
    sampler.release()
    assert.strictEqual((await sample({ prompt: next })).promptCacheHitTokens, 0)
  })
})

describe("log-probabilities", () => {
  const shapes: Readonly<Record<string, Partial<Llama.Config>>> = {
    "with biases": { attentionBias: true },
    "with norms of heads, one weight for both embeddings": { queryKeyNorm: true, tiedEmbeddings: true },
    "with a head of keys for each of queries": { keyValueHeads: 4 }
  }
  for (const [name, change] of Object.entries(shapes)) {
    for (const parts of [{}, { trainMlp: false, trainUnembed: false }, { trainAttn: false }]) {
      it(`are those of training, ${name}, adapted ${JSON.stringify(parts)}`, async () => {
        const config = { ...llama, ...change }
        const engine = await localEngine(config, hashedWeights(Llama.weightShapes(config)))
        const { lora, ...rest } = hashedSnapshot(config, 3)
        const chosen = { ...rest, lora: { ...lora, ...parts } }
        await engine.restore("model", chosen, { optimizer: false })
        await engine.createSampler("sampler", { baseModel: "base", snapshot: chosen })
        const { promptLogprobs, sequences } = await engine.sample(
          "sampler",
          request({ numSamples: 2, promptLogprobs: true, maxTokens: 70 })
        )
        for (const { logprobs, tokens } of sequences) {
          const row = Int32Array.from([...request().prompt, ...tokens])
          const { outputs } = await engine.forwardBackward("model", {
            data: [{ tokens: row.slice(0, -1), targetTokens: row.slice(1) }],
            loss: { _tag: "cross_entropy" },
            gradient: false
          })
          assert.isBelow(maxDifference([...promptLogprobs!.slice(1), ...logprobs], outputs[0]!.logprobs), 1e-5)
        }
      })
    }
  }
})

describe("numbers that are not finite", () => {
  /** With NaN for one token, in a tensor that has a row for each. */
  const broken = (name: string, token: number) => {
    const array = weights.get(name)!.slice()
    array.fill(NaN, token * llama.hiddenSize, (token + 1) * llama.hiddenSize)
    return new Map([...weights, [name, array] as const])
  }
  const bad = 7
  const sound = (stream: number, length: number) => prompt(stream, length).map((token) => token === bad ? 8 : token)
  const unsound = (length: number) => sound(1, length).fill(bad, 3, 4)
  const reasonOf = (result: Promise<unknown>) =>
    result.then(() => "none", (error: unknown) => error instanceof Engine.EngineError ? error.reason : String(error))

  const requests: Readonly<Record<string, Partial<Engine.SampleRequest>>> = {
    "that is cancelled while its prompt is computed": { prompt: unsound(300) },
    "that fails at its first token": { prompt: unsound(40) },
    "that fails in the middle of its answer": { prompt: sound(1, 5), maxTokens: 30, seed: 9 },
    "for no tokens": { prompt: unsound(40), maxTokens: 0 },
    "for log-probabilities of its prompt": { prompt: unsound(40), maxTokens: 0, promptLogprobs: true }
  }
  for (const [name, change] of Object.entries(requests)) {
    it(`of a request ${name} reach no other that has its place`, async () => {
      const { at, runs, sample } = await make({ weights: broken("model.embed_tokens.weight", bad) })
      const controller = new AbortController()
      if (name.includes("cancelled")) at(2, () => controller.abort(new Error("no longer wanted")))
      // One that keeps the cache, one that leaves its numbers in it, and one that comes into its place.
      const other = (stream: number) => ({
        prompt: sound(stream, 5),
        maxTokens: 40,
        seed: stream,
        stopTokens: [bad]
      })
      const [before, after] = [other(5), other(7)]
      let reason: string | undefined
      const [first, second] = await Promise.all([
        sample(before),
        reasonOf(sample(change, controller.signal)).then((failed) => {
          reason = failed
          return sample(after)
        })
      ])
      assert.strictEqual(reason, name.includes("cancelled") ? "Error: no longer wanted" : "NonFinite")
      assertSame(first, await alone(before))
      assertSame(second, await alone(after))
      assert.strictEqual(Math.max(...runs.map(({ rows }) => rows)), 2)
    })
  }

  it("end all samples of a request at the first", async () => {
    const { runs, sample } = await make({ weights: broken("model.embed_tokens.weight", bad) })
    assert.strictEqual(await reasonOf(sample({ prompt: unsound(40), numSamples: 5 })), "NonFinite")
    assert.strictEqual((await sample({ prompt: sound(5, 5), maxTokens: 1 })).sequences.length, 1)
    assert.deepStrictEqual(runs.map(({ length }) => length), [40, 5])
  })

  it("fail a request for scores of its prompt, though its keys and values are in order", async () => {
    const { sample } = await make({ weights: broken("lm_head.weight", bad) })
    for (const scores of [{ promptLogprobs: true }, { topkPromptLogprobs: 2 }, { promptAltTokensK: 1 }]) {
      assert.strictEqual(await reasonOf(sample({ maxTokens: 0, ...scores })), "NonFinite")
    }
    assert.strictEqual((await sample({ maxTokens: 0 })).sequences[0]!.tokens.length, 0)
  })
})

describe("processed log-probabilities", () => {
  it("are those of what was drawn from, of the same answer", async () => {
    const { sample } = await make()
    const change = { temperature: 0.7, topK: 5, topkSampleLogprobs: 8 }
    const raw = (await sample(change)).sequences[0]!
    const processed = (await sample({ ...change, logprobs: "processed" })).sequences[0]!
    assert.deepStrictEqual(processed.tokens, raw.tokens)
    const { k, length, logprobs, tokenIds } = processed.topkLogprobs!
    assert.strictEqual(length, raw.tokens.length)
    for (let t = 0; t < length; t++) {
      const best = Array.from(raw.topkLogprobs!.logprobs.subarray(t * k, t * k + 5), (one) => Math.exp(one / 0.7))
      const total = best.reduce((sum, one) => sum + one, 0)
      const row = Array.from(logprobs.subarray(t * k, (t + 1) * k))
      assert.isBelow(maxDifference(row.slice(0, 5), best.map((one) => Math.log(one / total))), 1e-5)
      assert.deepStrictEqual(row.slice(5), [-99999, -99999, -99999])
      const place = Array.from(tokenIds.subarray(t * k, t * k + 5)).indexOf(processed.tokens[t]!)
      assert.strictEqual(processed.logprobs[t], row[place])
    }
  })
})

describe("weights too large to be laid out anew", () => {
  it("give the same samples as inputs of the graph", async () => {
    const config = { ...llama, attentionBias: true, tiedEmbeddings: true }
    const change = { prompt: prompt(1, 20), numSamples: 2 }
    const inputs = await (await make({ config, maxConstantBytes: 0 })).sample(change)
    assertSame(inputs, await (await make({ config })).sample(change))
  })
})

describe("draws", () => {
  const draws = process.env["TINKER_TEST_LONG"] === "1" ? 10_000 : 2_000
  /** Wilson and Hilferty's approximation: a standard normal of a χ² of `freedom`. */
  const normalOf = (chiSquare: number, freedom: number) =>
    (Math.cbrt(chiSquare / freedom) - (1 - 2 / (9 * freedom))) / Math.sqrt(2 / (9 * freedom))

  for (const change of [{}, { temperature: 0.7, topP: 0.9, topK: 20 }]) {
    it(`have the frequencies of their distribution: ${JSON.stringify(change)}`, async () => {
      const { sample } = await make()
      const { topkPromptLogprobs } = await sample({
        prompt: Int32Array.from([...request().prompt, 0]),
        topkPromptLogprobs: llama.vocabularySize,
        maxTokens: 1
      })
      const { temperature, topK, topP } = request(change)
      const { k, logprobs, tokenIds } = topkPromptLogprobs!
      const order = Array.from(tokenIds.subarray(6 * k))
      const powers = Array.from(logprobs.subarray(6 * k), (logprob) => Math.exp(logprob / temperature))
        .slice(0, topK > 0 ? topK : k)
      const all = powers.reduce((sum, power) => sum + power, 0)
      let before = 0
      const kept = powers.filter((power) => (before += power) - power < topP * all)
      const total = kept.reduce((sum, power) => sum + power, 0)

      const counts = new Map<number, number>()
      const { sequences } = await sample({ ...change, numSamples: draws, maxTokens: 1 })
      for (const { tokens } of sequences) counts.set(tokens[0]!, (counts.get(tokens[0]!) ?? 0) + 1)
      let chiSquare = 0
      kept.forEach((power, i) => {
        const expected = draws * power / total
        chiSquare += ((counts.get(order[i]!) ?? 0) - expected) ** 2 / expected
        counts.delete(order[i]!)
      })
      assert.strictEqual(counts.size, 0)
      // p > 0.001
      assert.isBelow(normalOf(chiSquare, kept.length - 1), 3.09)
    })
  }
})
