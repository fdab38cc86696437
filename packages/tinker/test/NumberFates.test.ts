import { Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { ApiFuture, RetryPolicy, ServiceClient, TrainingMessages } from "effect-tinker"
import type { TinkerConfig, TrainingClient } from "effect-tinker"
import { adam, datum } from "./fixture.js"
import { simulated } from "./simulated.js"
import { type Answer, drop, json, type Seen, stub } from "./stub.js"

type Handlers = Parameters<typeof stub>[0]

const page = (status: number): Answer => ({
  status,
  headers: { "content-type": "text/html" },
  body: new TextEncoder().encode("<html><body>nginx</body></html>")
})
const empty = (status: number): Answer => ({ status, headers: {}, body: new Uint8Array() })
const refusal = (status: number, detail: string) => json({ detail }, status)

/** The number of a training request, whatever its form. */
const numberOf = ({ body, bytes }: Seen): number =>
  body.seq_id === undefined ? TrainingMessages.decodeForwardBackwardRequest(bytes).seqId : Number(body.seq_id)

/** A server of one model, which notes the requests that it takes: each number once, whatever is asked under it. */
const server = (
  answers: (request: Seen, accept: () => Answer) => ReturnType<Handlers[string]>,
  options: TinkerConfig.Options = {},
  settings: Readonly<Record<string, unknown>> = {}
) => {
  const taken = new Map<number, string>()
  const training = (request: Seen) =>
    answers(request, () => {
      const number = numberOf(request)
      taken.set(number, request.path)
      return json({ request_id: `request-${number}` })
    })
  const { layer, seen } = stub({
    "client/config": () => json(settings),
    create_model: () => json({ request_id: "new" }),
    get_info: () => json({ model_id: "S:train:0", model_data: { model_name: "b" } }),
    forward_backward: training,
    forward: training,
    optim_step: training,
    save_weights: training,
    retrieve_future: ({ body }) =>
      body.request_id === "new"
        ? json({ model_id: "S:train:0" })
        : json({
          metrics: {},
          path: "tinker://S:train:0/weights/a",
          loss_fn_output_type: "ArrayRecord",
          loss_fn_outputs: []
        })
  }, { heartbeatInterval: "1 day", ...options })
  return { layer, seen, taken }
}

const run = <A, E>(
  { layer }: ReturnType<typeof server>,
  program: (training: TrainingClient.Service) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(
      Effect.flatMap(ServiceClient.ServiceClient, (service) =>
        Effect.flatMap(service.createLoraTrainingClient({ baseModel: "b" }), program)).pipe(Effect.provide(layer))
    )
    yield* TestClock.adjust("20 minutes")
    return yield* Fiber.join(fiber)
  })

const once = RetryPolicy.withPolicies({ request: RetryPolicy.none })
const step = (training: TrainingClient.Service) => ApiFuture.flatten(training.optimStep(adam))
const save = (training: TrainingClient.Service) => ApiFuture.flatten(training.saveState({ name: "a" }))

/** What servers say of a number that another request has. */
const takenInWords: ReadonlyArray<readonly [number, string]> = [
  [409, "Training request sequence number was reused"],
  [409, "conflict"],
  [400, "request 1 of this model was another one"],
  [400, "request 1 of this model was left out, and later ones have run"],
  [422, "seq_id 1 is already in use"],
  [422, "duplicate sequence id"]
]

for (const [status, words] of takenInWords) {
  it.effect(`a filler refused with ${status} "${words}" settles the number, and the model goes on`, () => {
    const stand = server((request, accept) => {
      if (request.path === "optim_step" && numberOf(request) === 1) {
        accept()
        return drop
      }
      return stand.taken.has(numberOf(request)) ? refusal(status, words) : accept()
    })
    return Effect.gen(function*() {
      yield* run(stand, (training) =>
        Effect.gen(function*() {
          const lost = yield* Effect.flip(once(step(training)))
          assert.include(lost.message, "may have taken the request all the same")
          yield* step(training)
          yield* save(training)
        }))
      assert.deepStrictEqual(Array.from(stand.taken), [[1, "optim_step"], [2, "optim_step"], [3, "save_weights"]])
    })
  })
}

for (const answer of [...[401, 403, 404, 410].flatMap((status) => [page(status), empty(status)])]) {
  const what = `${answer.body.length === 0 ? "nothing" : "a page"} with status ${answer.status}`
  it.effect(`${what} after the server took a step does not make its number free`, () => {
    let isFirst = true
    const stand = server((request, accept) => {
      if (request.path === "optim_step" && isFirst) {
        accept()
        isFirst = false
        return answer
      }
      return stand.taken.has(numberOf(request)) ? refusal(400, "request 1 of this model was another one") : accept()
    })
    return Effect.gen(function*() {
      const failed = yield* run(stand, (training) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(once(step(training)))
          yield* step(training)
          return error
        }))
      assert.include(failed.message, "something before the server answered")
      assert.deepStrictEqual(Array.from(stand.taken), [[1, "optim_step"], [2, "optim_step"]])
    })
  })

  it.effect(`${what} is sent past, under the same number and key`, () => {
    let pages = 0
    const stand = server((_, accept) => pages++ < 4 ? answer : accept())
    return Effect.gen(function*() {
      yield* run(stand, step)
      const steps = stand.seen.filter(({ path }) => path === "optim_step")
      assert.deepStrictEqual(steps.map(({ body }) => body.seq_id), [1, 1, 1, 1, 1])
      assert.strictEqual(new Set(steps.map(({ headers }) => headers["x-idempotency-key"])).size, 1)
    })
  })
}

it.effect("a refusal that looks like the service's although it took the request costs the number, and no more", () => {
  let isFirst = true
  const stand = server((request, accept) => {
    if (stand.taken.has(numberOf(request))) return refusal(400, "request 1 of this model was another one")
    const accepted = accept()
    if (!isFirst) return accepted
    isFirst = false
    return refusal(403, "a gateway that speaks JSON")
  })
  return Effect.gen(function*() {
    yield* run(stand, (training) => Effect.zipRight(Effect.flip(step(training)), step(training)))
    assert.deepStrictEqual(Array.from(stand.taken), [[1, "optim_step"], [2, "optim_step"]])
  })
})

it.effect("a number that was said to be taken and is not leaves no gap", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const { plan } = yield* Faults.Faults
      const reused = Faults.answer(409, { body: { detail: "Training request sequence number was reused" } })
      yield* plan({ path: "optim_step", fault: reused })
      yield* ApiFuture.flatten(training.optimStep(adam))
      assert.deepStrictEqual(observed.executed.map(({ name }) => name), ["forward \0", "step 0.1"])
    })))

it.effect("a server without passes that change nothing gets one whose gradient is zero", () => {
  let isFirst = true
  const stand = server((request, accept) => {
    if (isFirst) {
      isFirst = false
      return drop
    }
    if (request.path === "forward") return refusal(404, "Not Found")
    return request.headers["content-type"]?.includes("protobuf") ? refusal(415, "JSON, please") : accept()
  })
  return Effect.gen(function*() {
    yield* run(stand, (training) => Effect.zipRight(Effect.flip(once(step(training))), step(training)))
    assert.deepStrictEqual(Array.from(stand.taken), [[1, "forward_backward"], [2, "optim_step"]])
    const filler = stand.seen.findLast(({ path }) => path === "forward_backward")!
    assert.include(filler.text, "\"weights\":{\"data\":[0]")
  })
})

it.effect("when nothing settles a number, every later call says which call it was, and that a checkpoint helps", () => {
  let isFirst = true
  const stand = server((request, accept) => {
    if (isFirst) {
      isFirst = false
      return drop
    }
    return request.path === "optim_step" ? accept() : refusal(422, "weights must not be zero")
  })
  return Effect.gen(function*() {
    const errors = yield* run(stand, (training) =>
      Effect.gen(function*() {
        yield* Effect.flip(once(step(training)))
        return [yield* Effect.flip(step(training)), yield* Effect.flip(save(training))]
      }))
    for (const [i, error] of errors.entries()) {
      if (error._tag !== "OutcomeUnknownError") return assert.fail(error._tag)
      assert.strictEqual(error.operation, i === 0 ? "TrainingClient.optimStep" : "TrainingClient.saveState")
      assert.deepStrictEqual([error.unknownCall, error.seqId], ["TrainingClient.optimStep", 1])
      assert.match(error.message, /Go on from a checkpoint/)
    }
    assert.strictEqual(stand.taken.size, 0)
  })
})

it.effect("a filler that fails for want of a server is told under the name of the call that it stopped", () => {
  let trouble = false
  const stand = server((request, accept) => {
    if (request.path === "optim_step" && numberOf(request) === 1) {
      trouble = true
      return drop
    }
    return trouble ? refusal(401, "the key is no longer valid") : accept()
  })
  return Effect.gen(function*() {
    const error = yield* run(stand, (training) =>
      Effect.gen(function*() {
        yield* Effect.flip(once(step(training)))
        const stopped = yield* Effect.flip(save(training))
        trouble = false
        yield* save(training)
        return stopped
      }))
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Authentication")
    assert.isTrue(error.message.startsWith("TrainingClient.saveState: "))
  })
})

it.effect("a name that is taken is a conflict that costs no filler", () => {
  const stand = server((request, accept) =>
    request.path === "save_weights" ? refusal(409, "the checkpoint a exists already") : accept()
  )
  return Effect.gen(function*() {
    const error = yield* run(stand, (training) => Effect.zipLeft(Effect.flip(save(training)), step(training)))
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Conflict")
    assert.deepStrictEqual(Array.from(stand.taken), [[1, "optim_step"]])
    assert.isFalse(stand.seen.some(({ path }) => path === "forward_backward"))
  })
})

for (
  const [how, options, settings] of [
    ["the user says", { serverProfile: "open-rl" }, {}],
    ["the server says itself", {}, { recognizes_repeated_requests: false }]
  ] as const
) {
  it.effect(`where ${how} that repeated requests are done twice, a lost step is sent once, and the run goes on`, () => {
    const lose = new Set([1, 3])
    const stand = server(
      (request, accept) => {
        const answer = accept()
        return lose.delete(numberOf(request)) ? drop : answer
      },
      options,
      settings
    )
    return Effect.gen(function*() {
      const errors = yield* run(stand, (training) =>
        Effect.gen(function*() {
          const step = Effect.flip(ApiFuture.flatten(training.optimStep(adam)))
          const pass = ApiFuture.flatten(training.forwardBackward({ data: [datum("ab")], lossFn: "cross_entropy" }))
          const lost = yield* step
          yield* pass
          return [lost, yield* step]
        }))
      for (const error of errors) {
        assert(error._tag === "OutcomeUnknownError")
        assert.strictEqual(error.operation, "TrainingClient.optimStep")
        assert.match(error.message, /whether the server has taken this call .*so it was not sent again/s)
      }
      const sent = stand.seen.filter(({ path }) => path === "optim_step" || path === "forward_backward")
      assert.deepStrictEqual(sent.map(({ path }) => path), ["optim_step", "forward_backward", "optim_step"])
    })
  })
}
