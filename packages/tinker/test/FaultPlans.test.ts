import { BigramEngine } from "@effect-tinker/engine"
import { Dialect, Faults } from "@effect-tinker/server"
import type { TinkerProtocol } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Console, Effect, Exit, Random } from "effect"
import { AdamParams, ApiFuture, ModelInput, SamplingParams, ServiceClient, TinkerError } from "effect-tinker"
import type { TrainingClient } from "effect-tinker"
import { datum } from "./fixture.js"
import * as Observed from "./observed.js"
import * as Simulation from "./simulation.js"

const page = (status: number) =>
  Faults.answer(status, { body: "<html><body>nginx</body></html>", contentType: "text/html" })
const empty = (status: number) => Faults.answer(status, { body: "" })
const gateway = (status: number) => Faults.answer(status, { body: { message: "no Route matched with those values" } })

/** What proxies say instead of the server, before it sees a request and after it has done what it asks for. */
const foreign: ReadonlyArray<readonly [string, Faults.Fault]> = [
  ...[200, 204, 304, 401, 403, 404, 410, 502].map((status) => [`page ${status}`, page(status)] as const),
  ...[200, 404, 410, 503].map((status) => [`nothing ${status}`, empty(status)] as const),
  ...[403, 404].map((status) => [`gateway ${status}`, gateway(status)] as const)
].flatMap(([name, answer]) => [
  [`${name} before`, answer],
  [`${name} after`, Faults.replaceAnswer(answer)]
])

/** What a run may be hit by. Delays are beyond and below the time that a request may take. */
const faults: ReadonlyArray<readonly [string, Faults.Fault]> = [
  ["429", Faults.answer(429)],
  ["429 with retry-after", Faults.answer(429, { headers: { "retry-after": "7" } })],
  ["401", Faults.answer(401, { headers: { "www-authenticate": "Bearer error=\"invalid_token\"" } })],
  ["402", Faults.answer(402)],
  ["408", Faults.answer(408)],
  ["409", Faults.answer(409)],
  ["410", Faults.answer(410)],
  ["500", Faults.answer(500)],
  ["502 in HTML", Faults.answer(502, { body: "<html><body>Bad Gateway</body></html>", contentType: "text/html" })],
  ["503", Faults.answer(503)],
  ["drop", Faults.drop],
  ["lost answer", Faults.loseAnswer],
  ["broken body", Faults.breakBody],
  ["half of the body", Faults.truncate()],
  ["three bytes of the body", Faults.truncate(3)],
  ["an answer after 5 s", Faults.delayAnswer("5 seconds")],
  ["an answer after 90 s", Faults.delayAnswer("90 seconds")],
  ["duplicate", Faults.duplicate],
  ["429 for two minutes", Faults.answer(429, { headers: { "retry-after": "120" } })],
  ["503 until a date", Faults.answer(503, { headers: { "retry-after": new Date(3_600_000).toUTCString() } })],
  ["501", Faults.answer(501)],
  ["409 of SkyRL", Faults.answer(409, { body: { detail: "Training request sequence number was reused" } })],
  ["404 of Open-RL", Faults.answer(404, { body: { detail: "Not Found" } })],
  ...foreign
]

interface Variant {
  readonly engine: BigramEngine.Options
  readonly server: TinkerProtocol.Options
}

const steps = 20
const samples = 50

const train = (training: TrainingClient.Service) =>
  Effect.gen(function*() {
    const metrics: Array<unknown> = []
    const ahead: Array<Effect.Effect<void, TinkerError.TinkerError>> = []
    for (let step = 0; step < steps; step++) {
      const texts = ["a", "b", "c"].slice(0, 2 + step % 2).map((name) => `${name}${step} is the text`)
      const gradients = yield* training.forwardBackward({ data: texts.map(datum), lossFn: "cross_entropy" })
      const update = yield* training.optimStep(AdamParams.make({ learningRate: 0.1 + step / 1000, eps: 1e-8 }))
      ahead.push(Effect.map(Effect.zip(gradients.await, update.await), ([pass, update]) => {
        metrics.push(pass.metrics, update.metrics)
      }))
      if (ahead.length > 2) yield* ahead.shift()!
    }
    for (const result of ahead) yield* result
    return metrics
  })

const last = (training: TrainingClient.Service) =>
  Effect.map(
    ApiFuture.flatten(training.forward({ data: [datum("the last text")], lossFn: "cross_entropy" })),
    (output) => output.lossFnOutputs[0]!.logprobs!.data
  )

const run = (onModel: (training: TrainingClient.Service) => void) =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4, seed: 1 })
    onModel(training)
    const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
    const sample = (seed: number) =>
      sampling.sample({
        prompt: ModelInput.fromTokens([97 + seed % 20]),
        samplingParams: SamplingParams.make({ maxTokens: 4, seed })
      })
    const [metrics, answers] = yield* Effect.all([
      train(training),
      Effect.forEach(Array.from({ length: samples }, (_, i) => i), sample, { concurrency: 8 })
    ], { concurrency: 2 })
    return { metrics, answers: answers.map(({ sequences }) => sequences[0]!.tokens), logprobs: yield* last(training) }
  })

/** A fault, the number of the request that it hits, and how many it hits in a row. */
interface Planned {
  readonly name: string
  readonly fault: Faults.Fault
  readonly nth: number
  readonly times: number
}

interface Plan {
  readonly requests: ReadonlyArray<Planned>
  readonly heartbeats: ReadonlyArray<Planned>
}

const undisturbed: Plan = { requests: [], heartbeats: [] }

/** Runs the program, and after a failure asks the same model once more. */
const simulate = (variant: Variant, plan: Plan, overtaking: number | undefined) =>
  Effect.gen(function*() {
    const simulation = yield* Simulation.make()
    if (overtaking !== undefined) simulation.onOperation = Simulation.overtakings(overtaking)
    const observed = Observed.make()
    let training: TrainingClient.Service | undefined
    const program = Effect.gen(function*() {
      const { plan: add } = yield* Faults.Faults
      for (const { fault, nth, times } of plan.requests) yield* add({ path: Faults.anyPath, fault, nth, times })
      for (const { fault, nth, times } of plan.heartbeats) yield* add({ path: "session_heartbeat", fault, nth, times })
      const result = yield* Effect.either(run((made) => {
        training = made
      }))
      const after = result._tag === "Left" && training !== undefined
        ? yield* Effect.either(last(training))
        : undefined
      return { result, after, executed: observed.executed.slice() }
    }).pipe(Effect.provide(Observed.client(observed, variant)))
    const exit = yield* simulation.run(program)
    yield* simulation.settle
    return {
      exit,
      observed,
      modelId: training?.modelId,
      left: {
        fibers: simulation.fibers(),
        timers: simulation.timers(),
        requests: observed.open.length,
        trainingBytes: observed.limiter?.training.taken(),
        responseBytes: observed.limiter?.responses.taken()
      }
    }
  })

const nothing = { fibers: 0, timers: 0, requests: 0, trainingBytes: 0, responseBytes: 0 }

/** Requests without effect, by which the client finds out about a number. */
const fillers = new Set(["forward \0", "backward \0"])

/** The log-probabilities of the last pass, when a model that no server stands before goes through the same. */
const replay = (executed: ReadonlyArray<Observed.Executed>, modelId: string) =>
  Effect.gen(function*() {
    const engine = BigramEngine.make({ vocabularySize })
    yield* engine.createModel(modelId, {
      baseModel: "bigram",
      lora: { rank: 4, seed: 1, trainAttn: true, trainMlp: true, trainUnembed: true }
    })
    let logprobs: Float32Array | undefined
    for (const operation of executed) logprobs = yield* operation.again(engine)
    return logprobs
  })

/** ASCII, which is all that the texts have. */
const vocabularySize = 128

const variants: ReadonlyArray<Variant> = [
  { engine: { vocabularySize }, server: { clientConfig: { sample_use_retrieve_futures: true } } },
  { engine: { vocabularySize }, server: { jwt: { lifetime: "1 hour" }, clientConfig: { fwdbwd_max_chunk_len: 1 } } },
  {
    engine: { vocabularySize, stepDuration: "1 second" },
    server: { maxUnannouncedBytes: 16, clientConfig: { fwdbwd_max_chunk_len: 2, sample_use_retrieve_futures: true } }
  },
  {
    engine: { vocabularySize, stepDuration: "500 millis" },
    server: {
      jwt: { lifetime: "90 seconds" },
      clientConfig: { fwdbwd_max_chunk_len: 1, parallel_fwdbwd_chunks: false }
    }
  },
  {
    engine: { vocabularySize },
    server: { dialect: Dialect.withoutProtobuf(), clientConfig: { fwdbwd_max_chunk_len: 2 } }
  }
]

const baselines = new Map<string, Effect.Effect<Effect.Effect.Success<ReturnType<typeof simulate>>>>()

const baselineOf = (variant: Variant) =>
  Effect.suspend(() => {
    const key = JSON.stringify(variant)
    const known = baselines.get(key)
    if (known !== undefined) return known
    return Effect.flatMap(Effect.cached(simulate(variant, undisturbed, undefined)), (baseline) => {
      baselines.set(key, baseline)
      return baseline
    })
  })

const planOf = (seed: number, requests: number): Effect.Effect<Plan> =>
  Effect.gen(function*() {
    const planned = (kinds: typeof faults, among: number) =>
      Effect.gen(function*() {
        const [name, fault] = kinds[yield* Random.nextIntBetween(0, kinds.length)]!
        const nth = yield* Random.nextIntBetween(1, among + 1)
        return { name, fault, nth, times: yield* Random.nextIntBetween(1, 3) }
      })
    const hits = yield* Random.nextIntBetween(1, 6)
    return {
      requests: yield* Effect.replicateEffect(planned(faults, requests), hits),
      heartbeats: yield* Effect.replicateEffect(planned(foreign, 4), yield* Random.nextIntBetween(0, 3))
    }
  }).pipe(Effect.withRandom(Random.make(`plan ${seed}`)))

const isSubsequence = (part: ReadonlyArray<string>, whole: ReadonlyArray<string>): boolean => {
  let found = 0
  for (const one of whole) if (one === part[found]) found += 1
  return found === part.length
}

/** How a run ended, after everything about it was found to be right. */
const judge = (seed: number) =>
  Effect.gen(function*() {
    const variant = variants[seed % variants.length]!
    const baseline = yield* baselineOf(variant)
    const plan = yield* planOf(seed, baseline.observed.requests.length)
    const words = ({ name, nth, times }: Planned) => `${name} at ${nth}, ${times} times`
    const told = `plan ${seed}: ${plan.requests.map(words).join("; ")}; heartbeats: ${
      plan.heartbeats.map(words).join("; ")
    }`
    const { exit, left, modelId, observed } = yield* simulate(variant, plan, seed % 4 === 3 ? seed : undefined).pipe(
      Effect.catchAllDefect((defect) => Effect.die(new Error(`${told}: ${String(defect)}`)))
    )
    if (Exit.isFailure(exit)) return assert.fail(`${told}: ${exit.cause.toString()}`)
    if (Exit.isFailure(baseline.exit)) return assert.fail(`without faults: ${baseline.exit.cause.toString()}`)
    assert.deepStrictEqual(left, nothing, told)

    const names = (executed: ReadonlyArray<Observed.Executed>) =>
      executed.map(({ name }) => name).filter((name) => !fillers.has(name))
    const expected = names(baseline.exit.value.executed)
    const executed = names(exit.value.executed)
    // Two requests under one number, or a number that was passed over. What fills a gap may find that there is none.
    for (const { body, path, status } of observed.requests) {
      if (status === 400) assert.isTrue(path === "forward" || body.forwardOnly, told)
    }

    const { after, result } = exit.value
    if (result._tag === "Right") {
      assert.deepStrictEqual(executed, expected, told)
      assert.deepStrictEqual(exit.value.result, baseline.exit.value.result, told)
      return "as without faults"
    }
    const error = result.left
    assert.isTrue(TinkerError.isTinkerError(error), told)
    assert.isTrue(error.operation.length > 0 && error.message.startsWith(`${error.operation}: `), told)
    const question = "forward the last tex"
    const answered = after?._tag === "Right"
    assert.isTrue(isSubsequence(executed.filter((name) => name !== question), expected), `${told}: ${executed}`)
    if (after?._tag === "Left") assert.isTrue(TinkerError.isTinkerError(after.left), told)
    if (answered) {
      assert.deepStrictEqual(yield* replay(exit.value.executed, modelId!), after.right, told)
    }
    return `${error._tag}${error._tag === "ApiStatusError" ? ` ${error.reason}` : ""}${
      after === undefined ? "" : answered ? ", and the model goes on" : ", and again"
    }`
  })

const plans = process.env.TINKER_TEST_LONG === "1" ? 1000 : 20

it.effect(
  `ends under ${plans} plans of faults with the weights, metrics and samples of an undisturbed run, or one error`,
  () =>
    Effect.gen(function*() {
      const ends = new Map<string, number>()
      for (let seed = 0; seed < plans; seed++) {
        const end = yield* judge(seed)
        ends.set(end, (ends.get(end) ?? 0) + 1)
      }
      if (plans > 20) yield* Console.log(Object.fromEntries(ends))
      assert.isAbove(ends.get("as without faults") ?? 0, plans / 4)
    }),
  plans > 20 ? 7_200_000 : 600_000
)
