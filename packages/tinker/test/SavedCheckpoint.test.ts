import { assert, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { ApiFuture, RetryPolicy, ServiceClient, TinkerError } from "effect-tinker"
import type { TrainingClient } from "effect-tinker"
import { drop, json, type Seen, stub } from "./stub.js"

type Handlers = Parameters<typeof stub>[0]

/** A server that has taken the first save, and whose answer to it was lost. */
const server = (listed: (question: number) => ReadonlyArray<unknown>, handlers: Handlers = {}) => {
  let saves = 0
  let questions = 0
  return stub({
    create_model: () => json({ request_id: "new" }),
    get_info: () => json({ model_id: "S:train:0", model_data: { model_name: "b" } }),
    save_weights: () => saves++ === 0 ? drop : json({ detail: "the name is taken" }, 409),
    save_weights_for_sampler: () => saves++ === 0 ? drop : json({ detail: "the name is taken" }, 409),
    "training_runs/S:train:0/checkpoints": () => json({ checkpoints: listed(questions++) }),
    retrieve_future: ({ body }) =>
      body.request_id === "new" ? json({ model_id: "S:train:0" }) : json({ path: "tinker://S:train:0/weights/a" }),
    ...handlers
  }, { heartbeatInterval: "1 day" })
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
    yield* TestClock.adjust("15 minutes")
    return yield* Fiber.join(fiber)
  })

const save = (training: TrainingClient.Service) => ApiFuture.flatten(training.saveState({ name: "a" }))
const saveWeights = (training: TrainingClient.Service) =>
  ApiFuture.flatten(training.saveWeightsForSampler({ name: "a" }))

const own = { checkpoint_id: "weights/a" }
const bare = { checkpoint_id: "a", checkpoint_type: "training", tinker_path: "tinker://S:train:0/weights/a" }
const twoParts = { checkpoint_id: "a", checkpoint_type: "sampler", tinker_path: "tinker://S:train:0/a" }

const listings: ReadonlyArray<readonly [string, typeof save, unknown, string]> = [
  ["by kind and name", save, own, "tinker://S:train:0/weights/a"],
  ["by name alone", save, bare, "tinker://S:train:0/weights/a"],
  ["under a path of the server's own form", saveWeights, twoParts, "tinker://S:train:0/a"]
]

for (const [how, call, entry, path] of listings) {
  it.effect(`a save whose answer was lost is known again where checkpoints are listed ${how}`, () => {
    const stand = server(() => [{ checkpoint_id: "other" }, entry])
    return Effect.map(run(stand, call), (saved) => assert.strictEqual(saved.path, path))
  })
}

/** What a server tells of the second save that it has accepted. */
const failing = (error: string): Handlers => {
  let saves = 0
  return {
    save_weights: () => saves++ === 0 ? drop : json({ request_id: "second" }),
    retrieve_future: ({ body }) =>
      body.request_id === "new" ? json({ model_id: "S:train:0" }) : json({ error, category: "user" })
  }
}

it.effect("a save whose answer was lost is known again where the same save, sent again, fails by its taken name", () => {
  const stand = server((question) => question < 2 ? [] : [bare], failing("the checkpoint a exists already"))
  return Effect.gen(function*() {
    assert.strictEqual((yield* run(stand, save)).path, bare.tinker_path)
    assert.strictEqual(stand.to("save_weights").length, 2)
  })
})

it.effect("a save sent again that fails by its taken name, which is nowhere, is told as a name that is taken", () => {
  const stand = server(() => [twoParts], failing("Checkpoint 'a' already exists for model 'm'"))
  return Effect.gen(function*() {
    const error = yield* run(stand, (training) => Effect.flip(save(training)))
    assert.isTrue(TinkerError.isNameTaken(error))
    assert.match(error.message, /already exists .*Take another name, or pass overwrite: true to saveState\.$/)
  })
})

it.effect("a save sent again that fails by something else asks for no listing", () => {
  const stand = server(() => [bare], failing("ttl_seconds is 60"))
  return Effect.gen(function*() {
    const error = yield* run(stand, (training) => Effect.flip(save(training)))
    assert.strictEqual(error._tag, "RequestFailedError")
    assert.isFalse(TinkerError.isNameTaken(error))
    assert.strictEqual(stand.to("training_runs/S:train:0/checkpoints").length, 0)
  })
})

it.effect("a save whose answer was not lost and that fails by its taken name asks for no listing", () => {
  const stand = server(() => [bare], {
    ...failing("the checkpoint a exists already"),
    save_weights: () => json({ request_id: "first" })
  })
  return Effect.gen(function*() {
    assert.isTrue(TinkerError.isNameTaken(yield* run(stand, (training) => Effect.flip(save(training)))))
    assert.strictEqual(stand.to("training_runs/S:train:0/checkpoints").length, 0)
  })
})

it.effect("a save whose answer was lost is waited for where checkpoints are listed once they are finished", () => {
  const stand = server((question) => question < 4 ? [] : [bare])
  return Effect.gen(function*() {
    assert.strictEqual((yield* run(stand, save)).path, bare.tinker_path)
    assert.strictEqual(stand.to("training_runs/S:train:0/checkpoints").length, 5)
  })
})

it.effect("a checkpoint of the same name and another kind is not the one that was saved", () => {
  const stand = server(() => [twoParts])
  return Effect.gen(function*() {
    const error = yield* run(stand, (training) => Effect.flip(save(training)))
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Conflict")
  })
})

it.effect("a name that an earlier save of the model has taken is a conflict, also when an answer was lost", () => {
  let saves = 0
  const stand = server(() => [bare], {
    save_weights: () => {
      saves += 1
      return saves === 1 ? json({ request_id: "first" }) : saves === 2 ? drop : json({ detail: "taken" }, 409)
    }
  })
  return Effect.gen(function*() {
    const error = yield* run(stand, (training) => Effect.zipRight(save(training), Effect.flip(save(training))))
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Conflict")
  })
})

it.effect("a plain conflict asks for no listing", () => {
  const stand = server(() => [bare], { save_weights: () => json({ detail: "taken" }, 409) })
  return Effect.gen(function*() {
    yield* run(stand, (training) => Effect.flip(save(training)))
    assert.strictEqual(stand.to("training_runs/S:train:0/checkpoints").length, 0)
  })
})

it.effect("unnamed weights whose number is taken by their own lost attempt get a fresh number", () => {
  const taken = new Set<unknown>()
  const stand = server(() => [], {
    forward_backward: () => json({ request_id: "filler" }),
    save_weights_for_sampler: ({ body }: Seen) => {
      if (taken.has(body.sampling_session_seq_id)) return json({ detail: "taken" }, 409)
      taken.add(body.sampling_session_seq_id)
      return taken.size === 1 ? drop : json({ request_id: `weights-${String(body.sampling_session_seq_id)}` })
    },
    retrieve_future: ({ body }) =>
      body.request_id === "new"
        ? json({ model_id: "S:train:0" })
        : json({ path: null, sampling_session_id: `S:sample:${String(body.request_id)}` })
  })
  return Effect.gen(function*() {
    const sampling = yield* run(stand, (training) => training.saveWeightsAndGetSamplingClient())
    assert.strictEqual(sampling.samplingSessionId, "S:sample:weights-1")
    assert.deepStrictEqual(Array.from(taken), [0, 1])
  })
})

it.effect("a save that no attempt got through is no conflict of anybody's", () => {
  const stand = server(() => [bare], { save_weights: () => drop })
  return Effect.gen(function*() {
    const error = yield* run(
      stand,
      (training) => Effect.flip(RetryPolicy.withPolicies(save(training), { request: RetryPolicy.none }))
    )
    assert.strictEqual(error._tag, "ApiConnectionError")
  })
})
