import { FileSystem, HttpClient, HttpClientRequest } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger, LogLevel, Random, TestClock } from "effect"
import { Datum } from "effect-tinker"
import { CheckpointStore, Faults, ServerJournal } from "../src/index.js"
import { during, type Options } from "./restarts.js"
import * as Wire from "./wire.js"

/** A test with a folder that servers keep everything in, one after another. */
const inFolder = (
  name: string,
  test: (folder: string) => Effect.Effect<void, unknown, FileSystem.FileSystem>
) =>
  it.effect(name, () =>
    Effect.gen(function*() {
      yield* test(yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped())
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer), Logger.withMinimumLogLevel(LogLevel.None)))

const files = (folder: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readDirectory(`${folder}/.server/state`))

const journalOf = (folder: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const names = (yield* fs.readDirectory(`${folder}/.server`)).filter((name) => name.startsWith("journal-"))
    assert.lengthOf(names, 1)
    return `${folder}/.server/${names[0]}`
  })

/** Log-probabilities by the model as it is, whole. */
const look = (modelId: string, seqId: number) =>
  Effect.gen(function*() {
    const reply = yield* Wire.result(yield* Wire.forwardBackward(modelId, seqId, { forwardOnly: true }))
    assert.strictEqual(reply.status, 200)
    return reply.body.loss_fn_outputs
  })

const done = (submit: ReturnType<typeof Wire.post>) => Effect.flatMap(submit, Wire.result)

/** What the same requests come to when nothing happens in between: two passes, a step, one pass more, a step. */
const undisturbed = Effect.gen(function*() {
  const { modelId } = yield* Wire.readyModel
  yield* Wire.forwardBackward(modelId, 1)
  yield* Wire.forwardBackward(modelId, 2, { data: [Wire.datum("world")] })
  yield* Wire.optimStep(modelId, 3)
  yield* Wire.forwardBackward(modelId, 4)
  yield* Wire.optimStep(modelId, 5)
  return yield* look(modelId, 6)
}).pipe(Effect.provide(Wire.server({ engine: { vocabularySize: 128 } })))

describe("a server that is started anew", () => {
  inFolder(
    "has results, knows requests that are sent again, and goes on bit for bit, between any two requests",
    (folder) =>
      Effect.gen(function*() {
        const life = during(folder)
        const { modelId } = yield* life(Wire.readyModel)
        const first = yield* life(done(Wire.forwardBackward(modelId, 1)))
        const second = yield* life(done(Wire.forwardBackward(modelId, 2, { data: [Wire.datum("world")] })))
        yield* life(done(Wire.optimStep(modelId, 3)))
        yield* life(Effect.gen(function*() {
          const again = yield* Wire.forwardBackward(modelId, 1)
          assert.strictEqual(again.body.request_id, `${modelId}:1`)
          assert.deepStrictEqual((yield* Wire.result(again)).body, first.body)
          const bytes = yield* Wire.result(again, { protobuf: true })
          assert.strictEqual(bytes.headers["content-type"], "application/x-protobuf")
          assert.strictEqual((yield* Wire.forwardBackward(modelId, 2)).status, 400)
          const kept = yield* Wire.post("retrieve_future", { request_id: `${modelId}:2`, allow_metadata_only: false })
          assert.deepStrictEqual(kept.body, second.body)
          const created = yield* Wire.post("retrieve_future", {
            request_id: `${modelId}:0`,
            allow_metadata_only: false
          })
          assert.strictEqual(created.body.type, "create_model")
          // Done once, however often it is sent.
          yield* done(Wire.optimStep(modelId, 3))
          const unknown = yield* Wire.post("retrieve_future", {
            request_id: `${modelId}:4`,
            allow_metadata_only: false
          })
          assert.strictEqual(unknown.status, 404)
        }))
        yield* life(done(Wire.forwardBackward(modelId, 4)))
        yield* life(done(Wire.optimStep(modelId, 5)))
        assert.deepStrictEqual(yield* life(look(modelId, 6)), yield* undisturbed)
        // The model's weights alone: after a step there is no gradient.
        assert.lengthOf(yield* files(folder), 1)
      })
  )

  inFolder(
    "does what was accepted and not done, in order, and waits for numbers that are missing",
    (folder) =>
      Effect.gen(function*() {
        const life = during(folder)
        const modelId = yield* life(Effect.gen(function*() {
          const { modelId } = yield* Wire.readyModel
          yield* done(Wire.forwardBackward(modelId, 1))
          yield* (yield* Faults.Faults).pauseQueue({ state: "paused_capacity" })
          yield* Wire.forwardBackward(modelId, 2, { data: [Wire.datum("world")] })
          yield* Wire.optimStep(modelId, 3)
          yield* Wire.optimStep(modelId, 5)
          return modelId
        }))
        yield* life(Effect.gen(function*() {
          const step = yield* Wire.post("retrieve_future", { request_id: `${modelId}:3`, allow_metadata_only: false })
          assert.property(step.body, "metrics")
          yield* Wire.forwardBackward(modelId, 4)
          assert.deepStrictEqual(yield* look(modelId, 6), yield* undisturbed)
        }))
      })
  )

  inFolder("does not wait for a number that was refused and left out", (folder) =>
    Effect.gen(function*() {
      const life = during(folder)
      const modelId = yield* life(Effect.gen(function*() {
        const { modelId } = yield* Wire.readyModel
        yield* (yield* Faults.Faults).pauseQueue({ state: "paused_capacity" })
        assert.strictEqual((yield* Wire.post("forward", { model_id: modelId, seq_id: 1 })).status, 422)
        yield* Wire.optimStep(modelId, 2)
        return modelId
      }))
      const step = yield* life(
        Wire.post("retrieve_future", { request_id: `${modelId}:2`, allow_metadata_only: false })
      )
      assert.property(step.body, "metrics")
    }))

  inFolder(
    "makes a model that it had not come to make, with the seed that was chosen for it",
    (folder) =>
      Effect.gen(function*() {
        const life = during(folder)
        const modelId = yield* Effect.gen(function*() {
          const sessionId = yield* Wire.createSession
          yield* (yield* Faults.Faults).pauseQueue({ state: "paused_capacity" })
          return String((yield* Wire.createModel(sessionId, { lora_config: { rank: 8 } })).body.model_id)
        }).pipe(life, Effect.withRandom(Random.make("first")))
        const seed = yield* Effect.gen(function*() {
          yield* done(Wire.post("save_weights", { model_id: modelId, seq_id: 1, path: "a" }))
          return (yield* (yield* CheckpointStore.CheckpointStore).list)[0]!.lora.seed
        }).pipe(life, Effect.withRandom(Random.make("second")))
        const fs = yield* FileSystem.FileSystem
        assert.include(yield* fs.readFileString(yield* journalOf(folder)), `"seed":${seed}`)
      })
  )

  inFolder(
    "answers 410 for what it has lost where live models are not kept, and makes models of their checkpoints",
    (folder) =>
      Effect.gen(function*() {
        const life = during(folder, { journal: { liveModels: false } })
        const { modelId, sessionId } = yield* life(Effect.gen(function*() {
          const ready = yield* Wire.readyModel
          yield* done(Wire.forwardBackward(ready.modelId, 1))
          yield* done(Wire.optimStep(ready.modelId, 2))
          yield* done(Wire.post("save_weights", { model_id: ready.modelId, seq_id: 3, path: "a" }))
          yield* Wire.optimStep(ready.modelId, 5)
          return ready
        }))
        assert.lengthOf(yield* files(folder), 0)
        yield* life(Effect.gen(function*() {
          const ask = (seqId: number) =>
            Wire.post("retrieve_future", { request_id: `${modelId}:${seqId}`, allow_metadata_only: false })
          assert.strictEqual((yield* ask(3)).body.type, "save_weights")
          assert.strictEqual((yield* ask(5)).status, 410)
          const refused = yield* Wire.forwardBackward(modelId, 4)
          assert.strictEqual(refused.status, 410)
          assert.include(String(refused.body.detail), "last checkpoint")
          const run = yield* Wire.get(`training_runs/${modelId}?access_scope=owned`)
          assert.strictEqual(run.body.lora_rank, 8)
          const made = yield* done(
            Wire.post("load_weights", {
              session_id: sessionId,
              model_seq_id: 1,
              path: `tinker://${modelId}/weights/a`,
              optimizer: true
            })
          )
          assert.strictEqual(made.body.type, "load_weights")
        }))
      })
  )

  inFolder(
    "has models that were unloaded and sessions that were finished as they were left",
    (folder) =>
      Effect.gen(function*() {
        const life = during(folder)
        const left = yield* life(Effect.gen(function*() {
          const unloaded = yield* Wire.readyModel
          yield* done(Wire.forwardBackward(unloaded.modelId, 1))
          yield* done(Wire.post("unload_model", { model_id: unloaded.modelId }))
          const finished = yield* Wire.readyModel
          yield* done(Wire.forwardBackward(finished.modelId, 1))
          yield* HttpClientRequest.put(`http://tinker/api/v1/sessions/${unloaded.sessionId}/project`).pipe(
            HttpClientRequest.bodyUnsafeJson({ project_id: "p" }),
            HttpClient.execute
          )
          yield* Wire.post(`sessions/${finished.sessionId}/finish`, { reason: { type: "errored" }, detail: null })
          return { unloaded, finished }
        }))
        assert.lengthOf(yield* files(folder), 0)
        yield* life(Effect.gen(function*() {
          const { finished, unloaded } = left
          assert.strictEqual((yield* Wire.optimStep(unloaded.modelId, 2)).status, 404)
          const end = yield* Wire.post("retrieve_future", {
            request_id: `${unloaded.modelId}:unload`,
            allow_metadata_only: false
          })
          assert.strictEqual(end.body.type, "unload_model")
          assert.strictEqual((yield* Wire.optimStep(finished.modelId, 2)).status, 410)
          const heartbeat = (session_id: string) => Wire.post("session_heartbeat", { session_id })
          assert.strictEqual((yield* heartbeat(finished.sessionId)).status, 410)
          assert.strictEqual((yield* heartbeat(unloaded.sessionId)).status, 200)
          const { body } = yield* Wire.post("sessions/search", { project_ids: ["p"] })
          assert.deepStrictEqual(
            (body.sessions as ReadonlyArray<{ readonly session_id: string }>).map(({ session_id }) => session_id),
            [unloaded.sessionId]
          )
        }))
      })
  )

  inFolder(
    "has its samplers, of the base model, of a path and of no name, and the results of samples",
    (folder) =>
      Effect.gen(function*() {
        const life = during(folder)
        const ask = (sampler: unknown, seq_id: number) =>
          Effect.map(
            done(Wire.sample(sampler, { seq_id, sampling_params: { max_tokens: 8, seed: 3, temperature: 1 } })),
            ({ body }) => body.sequences
          )
        const { answers, joined, samplers, sessionId } = yield* life(Effect.gen(function*() {
          const { modelId, sessionId } = yield* Wire.readyModel
          yield* Wire.forwardBackward(modelId, 1)
          yield* Wire.optimStep(modelId, 2, { learning_rate: 3 })
          const saved = yield* done(Wire.post("save_weights_for_sampler", { model_id: modelId, seq_id: 3, path: "s" }))
          const base = (yield* Wire.createSampler(sessionId)).body.sampling_session_id
          const named = (yield* Wire.createSampler(sessionId, {
            sampling_session_seq_id: 1,
            model_path: saved.body.path
          })).body.sampling_session_id
          const unnamed = (yield* done(
            Wire.post("save_weights_for_sampler", { model_id: modelId, seq_id: 4, sampling_session_seq_id: 2 })
          )).body.sampling_session_id
          const samplers = [base, named, unnamed]
          yield* Wire.post("join_sampling_session", { sampling_session_id: base })
          const joined = yield* Wire.post("join_sampling_session", { sampling_session_id: base })
          return { samplers, sessionId, joined, answers: yield* Effect.forEach(samplers, (one) => ask(one, 1)) }
        }))
        assert.notDeepEqual(answers[0], answers[1])
        yield* life(Effect.gen(function*() {
          // The same request, and a new one for the same.
          for (const number of [1, 2]) {
            const again = yield* Effect.forEach(samplers, (one) => Effect.all([ask(one, number), ask(one, number)]), {
              concurrency: "unbounded"
            })
            assert.deepStrictEqual(again, answers.map((answer) => [answer, answer]))
          }
          const next = yield* Wire.post("join_sampling_session", { sampling_session_id: samplers[0] })
          assert.strictEqual(next.body.client_counter, Number(joined.body.client_counter) + 1)
          const { body } = yield* Wire.get(`sessions/${sessionId}?access_scope=owned`)
          assert.deepStrictEqual(body.sampler_ids, samplers)
          yield* Wire.post(`sessions/${sessionId}/finish`, { reason: { type: "success" }, detail: null })
        }))
        assert.lengthOf(yield* files(folder), 0)
      })
  )

  inFolder(
    "does not call samples cancelled that its end interrupted: they answer 410, and are asked for anew",
    (folder) =>
      Effect.gen(function*() {
        const slow = { engine: { stepDuration: "1 hour" } } as const
        const { held, requestId } = yield* during(folder, slow)(Effect.gen(function*() {
          const { body } = yield* Wire.createSampler(yield* Wire.createSession)
          const requestId = (yield* Wire.sample(body.sampling_session_id, { seq_id: 1 })).body.request_id
          const held = yield* Effect.forkDaemon(Wire.post("retrieve_future", { request_id: requestId }))
          yield* Effect.yieldNow()
          return { held, requestId }
        }))
        assert.isUndefined((yield* Fiber.join(held)).body.error)
        const reply = yield* during(folder)(Wire.post("retrieve_future", { request_id: requestId }))
        assert.strictEqual(reply.status, 410)
      })
  )

  inFolder(
    "answers 410 for samplers whose checkpoint is not there any more, whatever is there instead",
    (folder) =>
      Effect.gen(function*() {
        const life = during(folder)
        const save = (model_id: string, seq_id: number, path: string, options: Record<string, unknown> = {}) =>
          done(Wire.post("save_weights", { model_id, seq_id, path, ...options }))
        const { modelId, samplers } = yield* life(Effect.gen(function*() {
          const { modelId, sessionId } = yield* Wire.readyModel
          const samplers: Array<string> = []
          for (const [i, name] of ["overwritten", "deleted", "expired", "replaced", "kept"].entries()) {
            const saved = yield* save(modelId, i + 1, name, name === "expired" ? { ttl_seconds: 3600 } : {})
            const made = yield* Wire.createSampler(sessionId, {
              sampling_session_seq_id: i,
              base_model: undefined,
              model_path: saved.body.path
            })
            samplers.push(String(made.body.sampling_session_id))
          }
          // As a client does that shares it; it must not lose what is known of its checkpoint.
          yield* Wire.post("join_sampling_session", { sampling_session_id: samplers[0] })
          yield* Wire.forwardBackward(modelId, 6)
          yield* Wire.optimStep(modelId, 7, { learning_rate: 3 })
          yield* save(modelId, 8, "overwritten", { overwrite: true })
          yield* Wire.remove(`training_runs/${modelId}/checkpoints/weights/deleted`)
          return { modelId, samplers }
        }))
        yield* TestClock.adjust("1 hour")
        yield* life(Effect.gen(function*() {
          // In this life, before anybody has asked for a sample.
          yield* Wire.remove(`training_runs/${modelId}/checkpoints/weights/replaced`)
          yield* save(modelId, 9, "replaced")
          const refused = yield* Effect.forEach(samplers, (id) => Wire.sample(id))
          assert.deepStrictEqual(refused.map(({ status }) => status), [410, 410, 410, 410, 200])
          const details = refused.slice(0, 4).map(({ body }) => String(body.detail))
          for (const [i, what] of ["overwritten", "deleted or has expired"].entries()) assert.include(details[i]!, what)
          for (const detail of details) assert.include(detail, "Make a new sampling session")
          assert.property((yield* Wire.result(refused[4]!)).body, "sequences")
        }))
      })
  )

  inFolder(
    "takes the checkpoint that it finds for that of a sampler of an earlier version, from then on",
    (folder) =>
      Effect.gen(function*() {
        const life = during(folder)
        const { modelId, samplers } = yield* life(Effect.gen(function*() {
          const { modelId, sessionId } = yield* Wire.readyModel
          const samplers = yield* Effect.forEach(["there", "gone"], (path, i) =>
            Effect.gen(function*() {
              const saved = yield* done(Wire.post("save_weights", { model_id: modelId, seq_id: i + 1, path }))
              const made = yield* Wire.createSampler(sessionId, {
                sampling_session_seq_id: i,
                base_model: undefined,
                model_path: saved.body.path
              })
              return String(made.body.sampling_session_id)
            }))
          yield* Wire.remove(`training_runs/${modelId}/checkpoints/weights/gone`)
          return { modelId, samplers }
        }))
        // What an earlier version has written.
        yield* Effect.gen(function*() {
          const journal = yield* ServerJournal.ServerJournal
          const old = (yield* journal.take).filter(({ key }) => key.startsWith("sampler:"))
          assert.lengthOf(old, 2)
          yield* journal.unsafeCommit(old.map(({ key, value }) => {
            const { checkpoint, ...rest } = value as Record<string, unknown>
            assert.isDefined(checkpoint)
            return { key, value: rest }
          }))
        }).pipe(Effect.provide(ServerJournal.layer(`${folder}/.server`)), Effect.provide(NodeContext.layer))
        yield* life(Effect.gen(function*() {
          assert.property((yield* done(Wire.sample(samplers[0]))).body, "sequences")
          assert.strictEqual((yield* Wire.sample(samplers[1])).status, 410)
          for (const [i, path] of ["there", "gone"].entries()) {
            yield* done(Wire.post("save_weights", { model_id: modelId, seq_id: i + 3, path, overwrite: true }))
          }
        }))
        yield* life(Effect.gen(function*() {
          const replies = yield* Effect.forEach(samplers, (id) => Wire.sample(id, { seq_id: 1 }))
          assert.deepStrictEqual(replies.map(({ status }) => status), [410, 410])
        }))
      })
  )

  inFolder(
    "answers 410 for samples that it had not come to, tells who waits for any of them, and takes them again",
    (folder) =>
      Effect.gen(function*() {
        const life = during(folder)
        const poll = (samplerId: unknown, prev_cursor: number) =>
          Wire.post("retrieve_futures", {
            target: { sampling_session_id: samplerId, cloned_sampler_id: 0 },
            prev_cursor,
            retrieved_request_ids: [],
            timeout: 1
          })
        const { before, samplerId } = yield* life(Effect.gen(function*() {
          const samplerId = (yield* Wire.createSampler(yield* Wire.createSession)).body.sampling_session_id
          yield* done(Wire.sample(samplerId))
          const before = yield* poll(samplerId, 0)
          yield* (yield* Faults.Faults).pauseQueue({ state: "paused_capacity" })
          yield* Wire.sample(samplerId, { seq_id: 1 })
          return { samplerId, before: Number(before.body.cursor) }
        }))
        assert.strictEqual(before, 1)
        yield* TestClock.adjust("1 second")
        yield* life(Effect.gen(function*() {
          const ask = (seqId: number) =>
            Wire.post("retrieve_future", { request_id: `${samplerId}:${seqId}`, allow_metadata_only: false })
          assert.strictEqual((yield* ask(1)).status, 410)
          assert.strictEqual((yield* ask(2)).status, 404)
          const told = yield* poll(samplerId, before)
          assert.deepStrictEqual(
            (told.body.completions as ReadonlyArray<Record<string, unknown>>).map(({ request_id, state }) => [
              request_id,
              state
            ]),
            [[`${samplerId}:0`, "finished"], [`${samplerId}:1`, "failed"]]
          )
          const again = yield* done(Wire.sample(samplerId, { seq_id: 1 }))
          assert.strictEqual(again.body.type, "sample")
          const next = yield* poll(samplerId, Number(told.body.cursor))
          assert.lengthOf(next.body.completions as ReadonlyArray<unknown>, 1)
        }))
        // And those that were lost twice.
        yield* TestClock.adjust("1 second")
        yield* life(Effect.gen(function*() {
          assert.strictEqual((yield* Wire.result(yield* Wire.sample(samplerId, { seq_id: 1 }))).status, 200)
        }))
      })
  )

  inFolder(
    "has the account of what was used, stored and done, with the names of keys",
    (folder) =>
      Effect.gen(function*() {
        const options: Options = { protocol: { apiKeys: [{ key: "tml-right", name: "ci" }] } }
        const life = during(folder, options)
        const headers = { "x-api-key": "tml-right" }
        const seen = Effect.gen(function*() {
          const get = (path: string) => Effect.map(Wire.get(path, headers), ({ body }) => body)
          const usage = yield* get(
            "billing/usage/events?starting_on=1970-01-01T00%3A00%3A00Z&ending_before=1970-01-02T00%3A00%3A00Z"
          )
          const audit = yield* get("audit?day=1970-01-01")
          return {
            usage,
            audit: audit.entries as ReadonlyArray<
              { readonly event: string; readonly event_details: Record<string, unknown> }
            >
          }
        })
        const before = yield* life(Effect.gen(function*() {
          const sessionId = String(
            (yield* Wire.post("create_session", { tags: [], sdk_version: "0.38.0" }, headers)).body.session_id
          )
          const created = yield* Wire.post("create_model", {
            session_id: sessionId,
            model_seq_id: 0,
            base_model: "bigram",
            lora_config: { rank: 8, seed: 1 }
          }, headers)
          const model_id = created.body.model_id
          const wait = (seqId: number) =>
            Wire.post("retrieve_future", { request_id: `${model_id}:${seqId}`, allow_metadata_only: false }, headers)
          yield* Wire.postBytes("forward_backward", Wire.passBytes(String(model_id), 1), undefined, headers)
          yield* Wire.post("save_weights", { model_id, seq_id: 2, path: "a" }, headers)
          yield* Wire.post("save_weights", { model_id, seq_id: 3, path: "b" }, headers)
          yield* wait(3)
          yield* Wire.remove(`training_runs/${model_id}/checkpoints/weights/a`, headers)
          return yield* seen
        }))
        assert.isNotEmpty(before.usage.data as ReadonlyArray<unknown>)
        assert.deepStrictEqual(
          before.audit.map(({ event, event_details }) => [event, event_details.api_key_name]),
          [["session_create", "ci"], ["checkpoint_save", "ci"], ["checkpoint_save", "ci"], ["checkpoint_delete", "ci"]]
        )
        assert.deepStrictEqual(yield* life(seen), before)
        assert.deepStrictEqual(yield* life(seen), before)
      })
  )

  inFolder(
    "forgets results when their time is over, and writes the journal anew before it grows large",
    (folder) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const life = during(folder, { journal: { slackBytes: 4096 } })
        const modelId = yield* life(Effect.gen(function*() {
          const { modelId } = yield* Wire.readyModel
          let largest = 0
          for (let i = 0; i < 40; i++) {
            yield* done(Wire.forwardBackward(modelId, 2 * i + 1))
            yield* done(Wire.optimStep(modelId, 2 * i + 2))
            if (i === 20) largest = Number((yield* fs.stat(yield* journalOf(folder))).size)
          }
          assert.isBelow(Number((yield* fs.stat(yield* journalOf(folder))).size), 4 * largest)
          return modelId
        }))
        assert.notMatch(yield* journalOf(folder), /journal-000001$/)
        yield* life(Effect.gen(function*() {
          const { body } = yield* Wire.post("retrieve_future", {
            request_id: `${modelId}:80`,
            allow_metadata_only: false
          })
          assert.property(body, "metrics")
          yield* look(modelId, 81)
        }))
        // With results that are over at once.
        const forgetful = during(folder, { protocol: { retention: 0 }, journal: { slackBytes: 0 } })
        yield* forgetful(Effect.gen(function*() {
          const ask = yield* Wire.post("retrieve_future", { request_id: `${modelId}:80`, allow_metadata_only: false })
          assert.strictEqual(ask.status, 410)
        }))
        yield* forgetful(Effect.void)
        assert.isBelow(Number((yield* fs.stat(yield* journalOf(folder))).size), 4096)
      })
  )

  inFolder(
    "drops what is half written at the end of the journal, and goes on before it",
    (folder) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const life = during(folder)
        const { modelId } = yield* life(Wire.readyModel)
        const whole = yield* fs.readFile(yield* journalOf(folder))
        yield* life(done(Wire.forwardBackward(modelId, 1)))
        const more = yield* fs.readFile(yield* journalOf(folder))
        assert.isAbove(more.length, whole.length)
        const cuts = [whole.length + 1, whole.length + 20, more.length - 1]
        for (const cut of cuts) {
          yield* fs.writeFile(yield* journalOf(folder), more.slice(0, cut))
          // There is no state of a request before it is written down that it was taken.
          const early = cut < more.length - 1 ? (yield* files(folder)).filter((name) => name.endsWith(".gradient")) : []
          for (const name of early) yield* fs.remove(`${folder}/.server/state/${name}`)
          const answer = yield* life(done(Wire.forwardBackward(modelId, 1)))
          assert.strictEqual(answer.status, 200)
        }
      })
  )

  inFolder("has dropped a gradient by which no step could be taken, as it said", (folder) =>
    Effect.gen(function*() {
      const life = during(folder)
      const tokens = Wire.bytesOf("hello")
      const { modelInput, lossFnInputs } = Datum.fromTokens(tokens, new Float32Array(tokens.length).fill(1e22))
      const modelId = yield* life(Effect.gen(function*() {
        const { modelId } = yield* Wire.readyModel
        yield* done(Wire.forwardBackward(modelId, 1))
        yield* done(Wire.forwardBackward(modelId, 2, { data: [{ modelInput, lossFnInputs }] }))
        assert.lengthOf(yield* files(folder), 2)
        const failed = yield* done(Wire.optimStep(modelId, 3))
        assert.strictEqual(failed.body.category, "user")
        assert.include(String(failed.body.error), "go on with the next pass")
        assert.lengthOf(yield* files(folder), 1)
        return modelId
      }))
      yield* life(Effect.gen(function*() {
        const again = yield* Wire.post("retrieve_future", { request_id: `${modelId}:3`, allow_metadata_only: false })
        assert.include(String(again.body.error), "go on with the next pass")
        const other = yield* Wire.readyModel
        yield* Effect.forEach([[modelId, 4], [other.modelId, 1]] as const, ([id, seqId]) =>
          Effect.zipRight(done(Wire.forwardBackward(id, seqId)), done(Wire.optimStep(id, seqId + 1))))
        assert.deepStrictEqual(yield* look(modelId, 6), yield* look(other.modelId, 3))
      }))
    }))

  inFolder("gives up a model whose state is damaged, and says so", (folder) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const life = during(folder)
      // Its state is there once the request that makes it is done.
      const made = Effect.tap(
        Wire.readyModel,
        ({ modelId }) => Wire.post("retrieve_future", { request_id: `${modelId}:0`, allow_metadata_only: false })
      )
      const { modelId } = yield* life(made)
      const other = yield* life(made)
      const [state] = (yield* files(folder)).filter((name) => name.startsWith(encodeURIComponent(modelId)))
      const place = `${folder}/.server/state/${state}`
      const bytes = yield* fs.readFile(place)
      yield* fs.writeFile(place, bytes.slice(0, 1000))
      yield* life(Effect.gen(function*() {
        const refused = yield* Wire.forwardBackward(modelId, 1)
        assert.strictEqual(refused.status, 410)
        assert.include(String(refused.body.detail), "damaged")
        assert.strictEqual((yield* done(Wire.forwardBackward(other.modelId, 1))).status, 200)
      }))
      // As long as it was, but not what it was.
      const bent = bytes.slice()
      bent[bytes.length >> 1]! ^= 1
      yield* fs.writeFile(place, bent)
      yield* life(Effect.gen(function*() {
        const refused = yield* Wire.forwardBackward(modelId, 1)
        assert.strictEqual(refused.status, 410)
        assert.include(String(refused.body.detail), "damaged")
        assert.notInclude(String(refused.body.detail), folder)
      }))
      // It is not thrown away, for whoever may want to mend it.
      assert.include(yield* files(folder), state)
    }))
})
