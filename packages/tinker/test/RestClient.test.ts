import { assert, it } from "@effect/vitest"
import { Chunk, DateTime, Duration, Effect, Encoding, Exit, Fiber, Redacted, Stream, TestClock, Tracer } from "effect"
import { CheckpointRef, RestClient, TinkerConfig } from "effect-tinker"
import type { TinkerError } from "effect-tinker"
import { checkpoint, cursor, trainingRun } from "./restCalls.js"
import { type Answer, drop, json, type Seen, stub } from "./stub.js"

type Handlers = Parameters<typeof stub>[0]

/** Uses the client against a server that answers so. */
const use = <A, E>(
  handlers: Handlers,
  f: (rest: RestClient.Service, server: ReturnType<typeof stub>) => Effect.Effect<A, E>,
  options?: TinkerConfig.Options
) => {
  const server = stub(handlers, options)
  return Effect.provide(Effect.flatMap(RestClient.RestClient, (rest) => f(rest, server)), server.layer)
}

const nothing: Answer = { status: 204, headers: {}, body: new Uint8Array(0) }

const path = "tinker://S:train:0/weights/0001"
const ids = { trainingRunId: "S:train:0", checkpointId: "weights/0001" }
const resource = "training_runs/S:train:0/checkpoints/weights/0001"

const field = (error: TinkerError.TinkerError) => error._tag === "InvalidInputError" ? error.field : error._tag

const iso = (time: DateTime.Utc | undefined) => time && DateTime.formatIso(time)

it.effect("reads a training run with both its last checkpoints and what is kept with it", () =>
  use({ "training_runs/S:train:0": () => json(trainingRun) }, (rest) =>
    Effect.gen(function*() {
      const run = yield* rest.getTrainingRun("S:train:0")
      assert.strictEqual(run.trainingRunId, "S:train:0")
      assert.isTrue(run.corrupted)
      assert.strictEqual(run.loraRank, 16)
      assert.strictEqual(run.lastCheckpoint?.checkpointId, "weights/0001")
      assert.strictEqual(run.lastSamplerCheckpoint?.checkpointType, "sampler")
      assert.deepStrictEqual(run.userMetadata, { team: "a" })
      assert.strictEqual(iso(run.lastRequestTime), "2025-06-01T12:00:00.000Z")
    })))

it.effect("reads a training run that has none of what may be missing", () =>
  use({
    "training_runs/r": () =>
      json({
        training_run_id: "r",
        base_model: "m",
        model_owner: "u",
        is_lora: false,
        lora_rank: null,
        last_request_time: "2025-06-01 12:00:00.5",
        last_checkpoint: null,
        user_metadata: null
      })
  }, (rest) =>
    Effect.gen(function*() {
      const run = yield* rest.getTrainingRun("r")
      assert.isFalse(run.corrupted)
      assert.deepStrictEqual([run.loraRank, run.lastCheckpoint, run.lastSamplerCheckpoint, run.userMetadata], [
        undefined,
        undefined,
        undefined,
        undefined
      ])
      assert.strictEqual(iso(run.lastRequestTime), "2025-06-01T12:00:00.500Z", "without a zone a time is UTC")
    })))

it.effect("finds a training run by the path of a checkpoint", () =>
  use({ "training_runs/S:train:0": () => json(trainingRun) }, (rest, server) =>
    Effect.gen(function*() {
      yield* rest.getTrainingRun(path, { accessScope: "accessible" })
      assert.deepStrictEqual(server.to("training_runs/S:train:0").map(({ query }) => query), [
        { access_scope: "accessible" }
      ])
    })))

it.effect("lists the checkpoints of a run, of all kinds and of one that is not known yet", () =>
  use({
    "training_runs/S:train:0/checkpoints": () =>
      json({
        checkpoints: ["training", "sampler", "external", "quantized"].map((checkpoint_type) => ({
          ...checkpoint,
          checkpoint_type
        })),
        cursor: null
      })
  }, (rest) =>
    Effect.gen(function*() {
      const { checkpoints, cursor } = yield* rest.listCheckpoints("S:train:0")
      assert.deepStrictEqual(checkpoints.map((one) => one.checkpointType), [
        "training",
        "sampler",
        "external",
        "quantized"
      ])
      assert.isUndefined(cursor)
      assert.strictEqual(iso(checkpoints[0]!.expiresAt), "2025-07-01T10:00:00.123Z")
      assert.deepStrictEqual(checkpoints[0]!.userMetadata, { note: "n" })
      assert.isTrue(checkpoints[0]!.public)
    })))

it.effect("reads a checkpoint that has none of what may be missing", () =>
  use({
    checkpoints: () =>
      json({
        checkpoints: [{
          checkpoint_id: "0001",
          checkpoint_type: "training",
          time: "2025-06-01T12:00:00",
          tinker_path: path,
          expires_at: null
        }],
        cursor
      })
  }, (rest) =>
    Effect.gen(function*() {
      const { checkpoints, cursor } = yield* rest.listUserCheckpoints()
      assert.isFalse(checkpoints[0]!.public)
      assert.deepStrictEqual([checkpoints[0]!.sizeBytes, checkpoints[0]!.expiresAt], [undefined, undefined])
      assert.deepStrictEqual(cursor, { offset: 0, limit: 20, totalCount: 1 })
    })))

it.effect("names the project of a listing only when there is one", () =>
  use({ training_runs: () => json({ training_runs: [], cursor }) }, (rest, server) =>
    Effect.gen(function*() {
      yield* rest.listTrainingRuns({ limit: 5, offset: 10, accessScope: "accessible", projectId: "p q" })
      assert.deepStrictEqual(server.to("training_runs")[0]!.query, {
        limit: "5",
        offset: "10",
        access_scope: "accessible",
        project_id: "p q"
      })
    })))

/** A page of so many runs as the query wants. */
const pageOf = (total: number, { query }: Seen) => {
  const offset = Number(query.offset)
  const count = Math.max(0, Math.min(Number(query.limit), total - offset))
  const names = Array.from({ length: count }, (_, i) => `r${offset + i}`)
  return { names, cursor: { offset, limit: Number(query.limit), total_count: total } }
}

const runsOf = (total: number): Handlers => ({
  training_runs: (seen) => {
    const { cursor, names } = pageOf(total, seen)
    return json({ training_runs: names.map((training_run_id) => ({ ...trainingRun, training_run_id })), cursor })
  }
})

it.effect("streams all training runs by pages of a hundred", () =>
  use(runsOf(250), (rest, server) =>
    Effect.gen(function*() {
      const runs = yield* Stream.runCollect(rest.trainingRuns({ projectId: "p" }))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(runs).map((run) => run.trainingRunId),
        Array.from({ length: 250 }, (_, i) => `r${i}`)
      )
      assert.deepStrictEqual(server.to("training_runs").map(({ query }) => [query.limit, query.offset]), [
        ["100", "0"],
        ["100", "100"],
        ["100", "200"]
      ])
      assert.isTrue(server.to("training_runs").every(({ query }) => query.project_id === "p"))
    })))

it.effect("asks for no page beyond those that a consumer wants, nor for an empty one at the end", () =>
  use(runsOf(1000), (rest, server) =>
    Effect.gen(function*() {
      yield* Stream.runDrain(Stream.take(rest.trainingRuns(), 150))
      assert.strictEqual(server.to("training_runs").length, 2)
    })).pipe(
      Effect.zipRight(use(runsOf(200), (rest, server) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* Stream.runCount(rest.trainingRuns()), 200)
          assert.strictEqual(server.to("training_runs").length, 2)
        })))
    ))

it.effect("ends a stream when there are fewer than the server has said", () =>
  use(
    { training_runs: () => json({ training_runs: [], cursor: { offset: 0, limit: 100, total_count: 7 } }) },
    (rest) => Effect.map(Stream.runCount(rest.trainingRuns()), (count) => assert.strictEqual(count, 0))
  ))

it.effect("streams the user's checkpoints, and takes a page without a cursor for all of them", () =>
  use({
    checkpoints: (seen) => {
      const { cursor, names } = pageOf(120, seen)
      return json({ checkpoints: names.map((checkpoint_id) => ({ ...checkpoint, checkpoint_id })), cursor })
    }
  }, (rest) => Effect.map(Stream.runCount(rest.userCheckpoints()), (count) => assert.strictEqual(count, 120))).pipe(
    Effect.zipRight(use({ checkpoints: () => json({ checkpoints: [checkpoint] }) }, (rest, server) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* Stream.runCount(rest.userCheckpoints()), 1)
        assert.strictEqual(server.to("checkpoints").length, 1)
      })))
  ))

it.effect("streams the ids of sessions, which have no cursor, up to the first page that is not full", () =>
  use({ sessions: (seen) => json({ sessions: pageOf(230, seen).names }) }, (rest, server) =>
    Effect.gen(function*() {
      const found = yield* Stream.runCollect(rest.sessions({ accessScope: "accessible" }))
      assert.strictEqual(found.length, 230)
      assert.isTrue(Chunk.toReadonlyArray(found).every((id) => typeof id === "string"))
      assert.deepStrictEqual(
        server.to("sessions").map(({ query }) => query),
        [0, 100, 200].map((offset) => ({
          limit: "100",
          offset: String(offset),
          access_scope: "accessible"
        }))
      )
    })))

it.effect("goes on with a stream after a page that had to be asked for twice", () => {
  let refused = false
  return use({
    training_runs: (seen) => {
      if (seen.query.offset !== "100" || refused) return runsOf(150).training_runs!(seen)
      refused = true
      return json({ detail: "busy" }, 503)
    }
  }, (rest) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Stream.runCount(rest.trainingRuns()))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), 150)
    }))
})

it.effect("deletes, publishes and unpublishes by path and by ids alike, and takes an empty 204", () =>
  use({ [resource]: () => nothing, [`${resource}/publish`]: () => nothing }, (rest, server) =>
    Effect.gen(function*() {
      for (const ref of [path, ids]) {
        yield* rest.deleteCheckpoint(ref)
        yield* rest.publishCheckpoint(ref)
        yield* rest.unpublishCheckpoint(ref)
      }
      const sent = server.seen.filter((one) => one.path.startsWith(resource)).map((one) => `${one.method} ${one.path}`)
      const each = [`DELETE ${resource}`, `POST ${resource}/publish`, `DELETE ${resource}/publish`]
      assert.deepStrictEqual(sent, [...each, ...each])
      assert.isTrue(server.seen.every(({ path, text }) => !path.startsWith(resource) || text === ""))
    })))

it.effect("fails after one request when a checkpoint is public already, and says so", () =>
  use({ [`${resource}/publish`]: () => json({ detail: "no change" }, 409) }, (rest, server) =>
    Effect.gen(function*() {
      const published = yield* Effect.flip(rest.publishCheckpoint(path))
      assert(published._tag === "ApiStatusError")
      assert.strictEqual(published.reason, "Conflict")
      assert.include(published.message, "It is public already.")
      assert.include((yield* Effect.flip(rest.unpublishCheckpoint(path))).message, "It is not public.")
      assert.strictEqual(server.to(`${resource}/publish`).length, 2)
    })))

it.effect("says once that a checkpoint is public already, where the server says it", () =>
  use(
    { [`${resource}/publish`]: () => json({ detail: `${path} is public already` }, 409) },
    (rest) =>
      Effect.gen(function*() {
        const { message } = yield* Effect.flip(rest.publishCheckpoint(path))
        assert.match(message, /is public already\. There is nothing to do\.$/)
        assert.lengthOf(message.split("public already"), 2)
      })
  ))

for (
  const [method, at, status] of [
    ["deleteCheckpoint", resource, 404],
    ["publishCheckpoint", `${resource}/publish`, 409],
    ["unpublishCheckpoint", `${resource}/publish`, 409]
  ] as const
) {
  it.effect(`${method}: ${status} after a lost answer means that the lost request has done it`, () => {
    let count = 0
    return use(
      { [at]: () => count++ === 0 ? drop : json({ detail: "so already" }, status) },
      (rest) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.fork(rest[method](path))
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(fiber)
          // Without a lost answer it is what it was.
          assert.strictEqual((yield* Effect.flip(rest[method](path)))._tag, "ApiStatusError")
        })
    )
  })
}

it.effect("sends how long a checkpoint is kept in seconds, and null to keep it for ever", () =>
  use({ [`${resource}/ttl`]: () => nothing }, (rest, server) =>
    Effect.gen(function*() {
      yield* rest.setCheckpointTtl(path, "1 hour")
      yield* rest.setCheckpointTtl(ids, null)
      assert.deepStrictEqual(server.to(`${resource}/ttl`).map(({ method, text }) => [method, text]), [
        ["PUT", "{\"ttl_seconds\":3600}"],
        ["PUT", "{\"ttl_seconds\":null}"]
      ])
    })))

it.effect("refuses before sending a time that no checkpoint is kept for, here and for copies", () =>
  use({}, (rest, server) =>
    Effect.gen(function*() {
      for (const ttl of ["0 seconds", "-1 seconds", "1500 millis", "3599 seconds", "4015 days"] as const) {
        for (
          const call of [rest.setCheckpointTtl(path, ttl), rest.copyWeights(path, { ttl, destinationProjectId: "p" })]
        ) {
          const error = yield* Effect.flip(call)
          assert.strictEqual(field(error), "ttl")
          assert.match(
            error.message,
            /^\S+: ttl: is .+, and must be whole seconds, between an hour and ten years; write it as "7 days"/
          )
        }
      }
      assert.deepStrictEqual(server.seen, [])
    })))

const copied = () => json({ tinker_path: "tinker://copy/weights/0001" })

it.effect("copies into the project that is given, else into the client's, and gives the copy's path", () =>
  use({ copy_weights: copied }, (rest, server) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* rest.copyWeights(path), "tinker://copy/weights/0001")
      yield* rest.copyWeights(path, { destinationProjectId: "q", ttl: "1 hour" })
      assert.deepStrictEqual(server.to("copy_weights").map(({ body }) => body), [
        { source_path: path, destination_project_id: "p" },
        { source_path: path, destination_project_id: "q", ttl_seconds: 3600 }
      ])
    }), { projectId: "p" }).pipe(
      Effect.zipRight(use({}, (rest, server) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(rest.copyWeights(path))
          assert.strictEqual(field(error), "destinationProjectId")
          assert.include(error.message, "TINKER_PROJECT_ID")
          assert.deepStrictEqual(server.seen, [])
        })))
    ))

it.effect("sends the owner's credential of a copy in its header alone, and one key with all attempts", () => {
  let count = 0
  return use(
    { copy_weights: () => count++ < 2 ? json({ detail: "busy" }, 503) : copied() },
    (rest, server) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(rest.copyWeights(path, { weightsAccessToken: Redacted.make("tml-owner") }))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(fiber)
        const sent = server.to("copy_weights")
        assert.strictEqual(sent.length, 3)
        assert.strictEqual(new Set(sent.map(({ headers }) => headers["x-idempotency-key"])).size, 1)
        for (const { headers, text } of sent) {
          assert.strictEqual(headers["x-tinker-weights-access-token"], "tml-owner")
          assert.notInclude(text, "tml-owner")
          const others = Object.entries(headers).filter(([name]) => name !== "x-tinker-weights-access-token")
          assert.notInclude(JSON.stringify(others), "tml-owner")
        }
      }),
    { projectId: "p" }
  )
})

it.effect("never tells the owner's credential in an error", () =>
  use({ copy_weights: () => json({ detail: "not yours" }, 403) }, (rest) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(rest.copyWeights(path, { weightsAccessToken: Redacted.make("tml-owner") }))
      assert.notInclude(String(error) + JSON.stringify(error), "tml-owner")
    }), { projectId: "p" }))

it.effect("asks for what a checkpoint was made of by the path as it is, with another account's key if given", () =>
  use(
    { weights_info: () => json({ base_model: "m", is_lora: true, train_mlp: null }) },
    (rest, server) =>
      Effect.gen(function*() {
        const info = yield* rest.getWeightsInfo("tinker://strange", { weightsAccessToken: Redacted.make("tml-owner") })
        assert.strictEqual(info.baseModel, "m")
        assert.isUndefined(info.trainMlp)
        assert.deepStrictEqual(server.to("weights_info")[0]!.body, { tinker_path: "tinker://strange" })
        assert.strictEqual(server.to("weights_info")[0]!.headers["x-api-key"], "tml-owner")
      })
  ))

it.effect("gives the addresses of external weights, which no log shows", () =>
  use({
    "training_runs/r/checkpoints/external_weights/e/external_weights_urls": () =>
      json({
        urls: { "adapter_model.safetensors": "https://files.example/1?signature=secret" },
        expires: "2025-06-01T12:00:00Z"
      })
  }, (rest) =>
    Effect.gen(function*() {
      const found = yield* rest.getExternalWeightsUrls("tinker://r/external_weights/e")
      assert.strictEqual(
        Redacted.value(found.urls["adapter_model.safetensors"]!),
        "https://files.example/1?signature=secret"
      )
      assert.notInclude(JSON.stringify(found), "secret")
      assert.strictEqual(iso(found.expires), "2025-06-01T12:00:00.000Z")
      const error = yield* Effect.flip(rest.getExternalWeightsUrls(path))
      assert.strictEqual(field(error), "checkpointId")
      assert.include(error.message, "saveWeightsExternal")
    })))

const archive = `${resource}/archive`

const redirect = (headers: Record<string, string>): Answer => ({ ...nothing, status: 302, headers })

it.effect("finds an archive by a redirect with an end, by one without, and by an answer in JSON", () => {
  const answers = [
    redirect({ location: "https://files.example/a?s=1", expires: "Thu, 01 Jan 1970 00:20:00 GMT" }),
    redirect({ location: "/files/a" }),
    json({ url: "https://files.example/c", expires: "1970-01-01T00:30:00" }),
    json({ url: "https://files.example/d" })
  ]
  return use({ [archive]: () => answers.shift()! }, (rest, server) =>
    Effect.gen(function*() {
      const found: Array<readonly [string, string | undefined]> = []
      for (let i = 0; i < 4; i++) {
        const { expires, url } = yield* rest.getCheckpointArchiveUrl(path)
        found.push([Redacted.value(url), iso(expires)])
      }
      assert.deepStrictEqual(found, [
        ["https://files.example/a?s=1", "1970-01-01T00:20:00.000Z"],
        ["http://localhost/files/a", "1970-01-01T00:15:00.000Z"],
        ["https://files.example/c", "1970-01-01T00:30:00.000Z"],
        ["https://files.example/d", "1970-01-01T00:15:00.000Z"]
      ])
      assert.strictEqual(server.seen.filter(({ path }) => path.includes("files")).length, 0, "it is not fetched")
    }))
})

it.effect("keeps an archive's address out of spans", () => {
  const attributes: Array<string> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => ({
      _tag: "Span",
      spanId: "s",
      traceId: "t",
      sampled: true,
      name,
      parent,
      context,
      links,
      kind,
      status: { _tag: "Started", startTime },
      attributes: new Map(),
      attribute: (key, value) => void attributes.push(`${key}=${JSON.stringify(value)}`),
      event: () => {},
      addLinks: () => {},
      end: () => {}
    }),
    context: (f) => f()
  })
  return use(
    { [archive]: () => redirect({ location: "https://files.example/a?signature=secret" }) },
    (rest) =>
      Effect.gen(function*() {
        yield* Effect.withTracer(rest.getCheckpointArchiveUrl(path), tracer)
        assert.isTrue(attributes.some((one) => one.startsWith("http.response.header.location")))
        assert.notInclude(attributes.join(), "secret")
      })
  )
})

it.effect("asks for an archive that is being made every thirty seconds, six times in all", () => {
  const times: Array<number> = []
  return use({
    [archive]: () =>
      Effect.map(TestClock.currentTimeMillis, (now) => {
        times.push(now / 1000)
        return json({ detail: "being made" }, 503)
      })
  }, (rest) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.flip(rest.getCheckpointArchiveUrl(path)))
      yield* TestClock.adjust("10 minutes")
      const error = yield* Fiber.join(fiber)
      assert(error._tag === "ApiStatusError")
      assert.strictEqual(error.status, 503)
      assert.deepStrictEqual(times, [0, 30, 60, 90, 120, 150])
    }))
})

it.effect("gives an archive that was made while it was asked for", () => {
  let count = 0
  return use(
    { [archive]: () => count++ === 0 ? json({}, 503) : redirect({ location: "https://files.example/a" }) },
    (rest) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(rest.getCheckpointArchiveUrl(path))
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(Redacted.value((yield* Fiber.join(fiber)).url), "https://files.example/a")
      })
  )
})

for (const status of [404, 405, 410]) {
  it.effect(`names external weights as the other way when a server answers ${status} for an archive`, () =>
    use({ [archive]: () => json({ detail: "gone" }, status) }, (rest, server) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(rest.getCheckpointArchiveUrl(path))
        assert(error._tag === "ApiStatusError")
        assert.strictEqual(error.reason, "Unsupported")
        assert.include(error.message, "saveWeightsExternal")
        assert.strictEqual(server.to(archive).length, 1)
      })))
}

it.effect("cannot use a redirect that points nowhere", () =>
  use({ [archive]: () => redirect({}) }, (rest) =>
    Effect.map(
      Effect.flip(rest.getCheckpointArchiveUrl(path)),
      (error) => assert.strictEqual(error._tag, "ApiResponseValidationError")
    )))

it.effect("reads a session with its models and samplers, and with or without a name", () => {
  const answers: Array<unknown> = [
    {
      training_run_ids: ["S:train:0"],
      sampler_ids: ["S:sample:0"],
      user_metadata: { a: "b" },
      display_name: "one"
    },
    { training_run_ids: [], sampler_ids: [], user_metadata: null }
  ]
  return use({ "sessions/S": () => json(answers.shift()) }, (rest) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* rest.getSession("S"), {
        trainingRunIds: ["S:train:0"],
        samplerIds: ["S:sample:0"],
        userMetadata: { a: "b" },
        displayName: "one"
      })
      assert.deepStrictEqual(yield* rest.getSession("S"), { trainingRunIds: [], samplerIds: [] })
    }))
})

it.effect("reads a sampler with or without a path, and sends the colons of its id as they are", () => {
  const answers = [{ model_path: null }, { model_path: "tinker://r/sampler_weights/w" }]
  return use({
    "samplers/S:sample:0": () => json({ sampler_id: "S:sample:0", base_model: "m", ...answers.shift() })
  }, (rest) =>
    Effect.gen(function*() {
      assert.isUndefined((yield* rest.getSampler("S:sample:0")).modelPath)
      assert.strictEqual((yield* rest.getSampler("S:sample:0")).modelPath, "tinker://r/sampler_weights/w")
    }))
})

it.effect("tells apart a project that may not be written to and one that does not exist", () => {
  const statuses = [403, 404]
  return use(
    { "sessions/S/project": () => json({ detail: "no" }, statuses.shift()) },
    (rest) =>
      Effect.gen(function*() {
        const forbidden = yield* Effect.flip(rest.assignSessionProject("S", "p"))
        assert(forbidden._tag === "ApiStatusError")
        assert.strictEqual(forbidden.reason, "PermissionDenied")
        assert.include(forbidden.message, "the right to write to the project")
        const missing = yield* Effect.flip(rest.assignSessionProject("S", "p"))
        assert(missing._tag === "ApiStatusError")
        assert.strictEqual(missing.reason, "NotFound")
      })
  )
})

const summary = (i: number, status: unknown) => ({
  session_id: `s${i}`,
  created_at: "2025-06-01T12:00:00",
  owner: "u",
  project_id: "p",
  checkpoints_count: i,
  status
})

it.effect("reads what became of sessions, and keeps what it does not know as it came", () => {
  const statuses: ReadonlyArray<unknown> = [
    { type: "active" },
    { type: "cancelled", detail: "by hand" },
    {
      type: "failed",
      category: "internal",
      message: "broke",
      reason: { type: "training_run", training_run_id: "r" }
    },
    { type: "client_finished", reason: { type: "success" }, detail: null },
    { type: "archived", since: 3 },
    null
  ]
  return use({
    "sessions/search": () => json({ sessions: statuses.map((status, i) => summary(i, status)), next_cursor: null })
  }, (rest) =>
    Effect.gen(function*() {
      const { nextCursor, sessions } = yield* rest.searchSessions()
      assert.isUndefined(nextCursor)
      assert.deepStrictEqual(sessions.map((one) => one.status), [
        { _tag: "Active" },
        { _tag: "Cancelled", detail: "by hand" },
        {
          _tag: "Failed",
          category: "internal",
          message: "broke",
          reason: { type: "training_run", training_run_id: "r" }
        },
        { _tag: "ClientFinished", reason: { type: "success" } },
        { _tag: "Unknown", type: "archived", raw: { type: "archived", since: 3 } },
        undefined
      ])
      assert.strictEqual(iso(sessions[0]!.createdAt), "2025-06-01T12:00:00.000Z")
    }))
})

it.effect("sends every condition of a search", () =>
  use({ "sessions/search": () => json({ sessions: [] }) }, (rest, server) =>
    Effect.gen(function*() {
      yield* rest.searchSessions({
        sessionId: "S",
        projectIds: ["p"],
        displayName: "run",
        userMetadata: { team: "a" },
        owner: { type: "user", ownerUrns: ["urn:u"] },
        statuses: [{ type: "active" }, { type: "client_finished", reasons: ["errored"] }],
        limit: 7,
        cursor: { last_created_at: "2025-06-01T12:00:00Z", last_session_id: "T" }
      })
      assert.deepStrictEqual(server.to("sessions/search")[0]!.body, {
        session_id: "S",
        project_ids: ["p"],
        display_name: "run",
        user_metadata: { team: "a" },
        owner: { type: "user", owner_urns: ["urn:u"] },
        statuses: [{ type: "active" }, { type: "client_finished", reasons: ["errored"] }],
        limit: 7,
        cursor: { last_created_at: "2025-06-01T12:00:00Z", last_session_id: "T" }
      })
    })))

it.effect("streams what a search finds, handing each place back as it came", () =>
  use({
    "sessions/search": ({ body }) => {
      const place = body.cursor as { readonly at: number; readonly extra: null } | undefined
      const at = place?.at ?? 0
      const sessions = Array.from({ length: Math.min(50, 120 - at) }, (_, i) => summary(at + i, null))
      return json({ sessions, next_cursor: at + 50 < 120 ? { at: at + 50, extra: null } : null })
    }
  }, (rest, server) =>
    Effect.gen(function*() {
      const found = yield* Stream.runCollect(rest.foundSessions({ displayName: "run" }))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(found).map((one) => one.checkpointsCount),
        Array.from({ length: 120 }, (_, i) => i)
      )
      assert.deepStrictEqual(server.to("sessions/search").map(({ body }) => [body.cursor, body.display_name]), [
        [undefined, "run"],
        [{ at: 50, extra: null }, "run"],
        [{ at: 100, extra: null }, "run"]
      ])
    })))

const eleven = Array.from({ length: 11 }, (_, i) => `urn:${i}`)

const invalid: ReadonlyArray<
  readonly [string, (rest: RestClient.Service) => Effect.Effect<unknown, TinkerError.TinkerError>, string]
> = [
  ["an empty id of a training run", (rest) => rest.getTrainingRun(""), "trainingRunId"],
  ["an id that leads elsewhere", (rest) => rest.getTrainingRun("../sessions"), "trainingRunId"],
  [
    "an access scope that there is not",
    (rest) => rest.getTrainingRun("r", { accessScope: "mine" as "owned" }),
    "accessScope"
  ],
  [
    "a scope of sessions that there is not",
    (rest) => rest.listSessions({ accessScope: "all" as "owned" }),
    "accessScope"
  ],
  ["a path that is none", (rest) => rest.getTrainingRun("tinker://r/other/n"), "path"],
  ["checkpoints of no run", (rest) => rest.listCheckpoints(""), "trainingRunId"],
  ["a limit of 0", (rest) => rest.listTrainingRuns({ limit: 0 }), "limit"],
  ["a limit that is not whole", (rest) => rest.listUserCheckpoints({ limit: 1.5 }), "limit"],
  ["an offset below 0", (rest) => rest.listSessions({ offset: -1 }), "offset"],
  ["a stream of an empty project", (rest) => Stream.runDrain(rest.trainingRuns({ projectId: "" })), "projectId"],
  ["a checkpoint without a run", (rest) => rest.deleteCheckpoint({ ...ids, trainingRunId: "" }), "trainingRunId"],
  ["a checkpoint without an id", (rest) => rest.deleteCheckpoint({ ...ids, checkpointId: "" }), "checkpointId"],
  [
    "a checkpoint's id without a kind",
    (rest) => rest.deleteCheckpoint({ ...ids, checkpointId: "0001" }),
    "checkpointId"
  ],
  ["a path that is the id of a run", (rest) => rest.deleteCheckpoint("run:train:0"), "path"],
  ["a path that is an address of the web", (rest) => rest.deleteCheckpoint("https://a.example/weights/a"), "path"],
  ["information on an address of the web", (rest) => rest.getWeightsInfo("https://a.example/weights/a"), "path"],
  [
    "a copy of an address of the web",
    (rest) => rest.copyWeights("http://a.example/weights/a?sig=x", { destinationProjectId: "p" }),
    "path"
  ],
  [
    "a checkpoint's id that leads elsewhere",
    (rest) => rest.deleteCheckpoint({ ...ids, checkpointId: "weights/../.." }),
    "checkpointId"
  ],
  ["a path that leads elsewhere", (rest) => rest.publishCheckpoint("tinker://../weights/a"), "path"],
  ["a path with a query", (rest) => rest.unpublishCheckpoint("tinker://r/weights/a?b"), "path"],
  ["a copy of what has no path", (rest) => rest.copyWeights("weights/a", { destinationProjectId: "p" }), "path"],
  ["information on nothing", (rest) => rest.getWeightsInfo(""), "path"],
  ["an empty id of a session", (rest) => rest.getSession(""), "sessionId"],
  ["a project without a name", (rest) => rest.assignSessionProject("S", ""), "projectId"],
  ["an empty id of a sampler", (rest) => rest.getSampler(""), "samplerId"],
  ["a trace of no session", (rest) => rest.exportSessionTrace(""), "sessionId"],
  ["a search for 0", (rest) => rest.searchSessions({ limit: 0 }), "limit"],
  ["a search for 201", (rest) => rest.searchSessions({ limit: 201 }), "limit"],
  ["eleven owners", (rest) => rest.searchSessions({ owner: { type: "user", ownerUrns: eleven } }), "owner"],
  ["no owner", (rest) => rest.searchSessions({ owner: { type: "user", ownerUrns: [] } }), "owner"],
  ["an empty name", (rest) => Stream.runDrain(rest.foundSessions({ displayName: "" })), "displayName"],
  ["no status", (rest) => rest.searchSessions({ statuses: [] }), "statuses"],
  ["no project", (rest) => rest.searchSessions({ projectIds: [] }), "projectIds"]
]

for (const [what, call, name] of invalid) {
  it.effect(`refuses ${what} before sending, naming ${name}`, () =>
    use({}, (rest, server) =>
      Effect.gen(function*() {
        assert.strictEqual(field(yield* Effect.flip(call(rest))), name)
        assert.deepStrictEqual(server.seen, [])
      })))
}

it.effect("says what the path of a checkpoint looks like, and repeats no address, which may hold a secret", () =>
  use({}, (rest) =>
    Effect.gen(function*() {
      const web = "https://a.example/weights/a?signature=secret"
      for (const call of [rest.deleteCheckpoint(web), rest.getWeightsInfo(web), rest.setCheckpointTtl(web, null)]) {
        const { message } = yield* Effect.flip(call)
        assert.match(message, /is an address of the web, and no checkpoint path\..* tinker:\/\/<training run>\//)
        assert.notInclude(message, "secret")
      }
      for (const change of [rest.deleteCheckpoint, rest.publishCheckpoint, rest.unpublishCheckpoint]) {
        const { message } = yield* Effect.flip(change({ ...ids, checkpointId: "0001" }))
        assert.include(message, "pass e.g. weights/0001, or the path, as tinker://<training run>/weights/0001.")
      }
    })))

it("names a checkpoint by its path or by the ids that it is made of", () => {
  assert.deepStrictEqual(
    CheckpointRef.resolve("test", path),
    CheckpointRef.resolve("test", ids)
  )
})

const trace = "sessions/S/trace_export"

it.effect("waits for a trace, asking every five seconds", () => {
  const answers = ["pending", "pending", "ready"]
  return use({
    [trace]: () => json({ status: answers.shift(), url: answers.length === 0 ? "https://files.example/t?s=1" : null })
  }, (rest, server) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(rest.exportSessionTrace("S"))
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(server.to(trace).length, 2)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(Redacted.value(yield* Fiber.join(fiber)), "https://files.example/t?s=1")
    }))
})

it.effect("fails with the server's words when a trace fails, and at the deadline when it never comes", () => {
  let status = "failed"
  return use({ [trace]: () => json({ status, error: "no events" }) }, (rest) =>
    Effect.gen(function*() {
      const failed = yield* Effect.flip(rest.exportSessionTrace("S"))
      assert.strictEqual(failed._tag, "RequestFailedError")
      assert.include(failed.message, "no events")
      status = "pending"
      const fiber = yield* Effect.fork(Effect.flip(rest.exportSessionTrace("S", { deadline: "12 seconds" })))
      yield* TestClock.adjust("12 seconds")
      const late = yield* Fiber.join(fiber)
      assert(late._tag === "ApiTimeoutError")
      assert.deepStrictEqual([late.reason, Duration.toSeconds(late.deadline)], ["waiting", 12])
    }))
})

it.effect("cannot use a trace that is ready but nowhere", () =>
  use({ [trace]: () => json({ status: "ready" }) }, (rest) =>
    Effect.map(
      Effect.flip(rest.exportSessionTrace("S")),
      (error) => assert.strictEqual(error._tag, "ApiResponseValidationError")
    )))

const jwt = (claims: Record<string, unknown>) =>
  [{ alg: "none" }, claims].map((part) => Encoding.encodeBase64Url(JSON.stringify(part))).join(".") + ".s"

const claims = { iss: "passport-1", sub: "tml:organization_user:1", org_id: "o", email: "a@b" }

it.effect("tells who holds a token without any request", () =>
  use({}, (rest, server) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* rest.whoami, {
        userUrn: "tml:organization_user:1",
        orgUrn: "tml:organization:o",
        email: "a@b"
      })
      assert.deepStrictEqual(server.seen, [])
    }), { apiKey: Redacted.make(jwt(claims)) }))

it.effect("takes an empty address for none", () =>
  use({}, (rest) => Effect.map(rest.whoami, ({ email }) => assert.isUndefined(email)), {
    apiKey: Redacted.make(jwt({ ...claims, email: "" }))
  }))

it.effect("tells who holds a key by the token that the server gives for it", () =>
  use({
    "client/config": () => json({ pjwt_auth_enabled: true }),
    "auth/token": () => json({ jwt: jwt(claims) })
  }, (rest, server) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* rest.whoami).orgUrn, "tml:organization:o")
      const paths = server.seen.map(({ path }) => path)
      assert.deepStrictEqual(paths, ["client/config", "auth/token", "client/dynamic_config"])
    }), { apiKey: Redacted.make("tml-key") }))

for (
  const [what, key, words] of [
    ["a plain key", "tml-key", "gives no token for it"],
    ["a token without an organization", jwt({ ...claims, org_id: undefined }), "org_id"],
    ["no credential at all", undefined, "without one nobody is known"]
  ] as const
) {
  it.effect(`says why ${what} does not tell whose it is`, () =>
    use({}, (rest) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(rest.whoami)
        assert.strictEqual(field(error), "apiKey")
        assert.include(error.message, words)
        assert.notInclude(error.message, key ?? "tml-")
      }), key === undefined ? {} : { apiKey: Redacted.make(key) }))
}

it.effect("asks about a key, and revokes it, with that key alone", () =>
  use({
    "auth/apikey/me": ({ method }) => method === "GET" ? json({ key_id: 7, name: "laptop", note: null }) : nothing
  }, (rest, server) =>
    Effect.gen(function*() {
      const key = Redacted.make("tml-other")
      const found = yield* rest.getApiKey(key)
      assert.deepStrictEqual([found.keyId, found.name, found.note], [7, "laptop", undefined])
      yield* rest.deleteApiKey(key)
      assert.deepStrictEqual(server.seen.map(({ headers, method, path }) => [method, path, headers["x-api-key"]]), [
        ["GET", "auth/apikey/me", "tml-other"],
        ["DELETE", "auth/apikey/me", "tml-other"]
      ])
    }), { apiKey: Redacted.make("tml-key") }))

it.effect("makes one exchange of the key for all its calls", () =>
  use({
    "client/config": () => json({ pjwt_auth_enabled: true }),
    "auth/token": () => json({ jwt: jwt({ ...claims, iat: 0, exp: 3600 }) }),
    sessions: () => json({ sessions: [] })
  }, (rest, server) =>
    Effect.gen(function*() {
      yield* Effect.all([rest.listSessions(), rest.listSessions()], { concurrency: 2 })
      assert.strictEqual(server.to("auth/token").length, 1)
      assert.isTrue(server.to("sessions").every(({ headers }) => headers["x-api-key"]?.startsWith("eyJ") === true))
    }), { apiKey: Redacted.make("tml-key") }))

it.effect("sends nothing while nobody uses it", () => {
  const server = stub({})
  return Effect.gen(function*() {
    const exit = yield* Effect.exit(Effect.scoped(Effect.provide(RestClient.RestClient, server.layer)))
    assert.isTrue(Exit.isSuccess(exit))
    assert.deepStrictEqual(server.seen, [])
  })
})
