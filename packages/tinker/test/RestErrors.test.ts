import { assert, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { RetryPolicy, TinkerError } from "effect-tinker"
import { calls, type RestCall } from "./restCalls.js"
import { type Answer, json, stub } from "./stub.js"

const text = (body: string, contentType = "application/json"): Answer => ({
  status: 200,
  headers: { "content-type": contentType },
  body: new TextEncoder().encode(body)
})

const good = (call: RestCall): Answer => call.answer === undefined ? text("") : json(call.answer)

/** The call's outcome when its requests get these answers in turn, the last one again and again. */
const attempt = (call: RestCall, ...answers: ReadonlyArray<Answer>) => {
  let count = 0
  const server = stub({ [call.path]: () => answers[Math.min(count++, answers.length - 1)]! }, { projectId: "p" })
  const once = { firstContact: Schedule.recurs(1), request: Schedule.recurs(1) }
  return call.run.pipe(
    RetryPolicy.withPolicies(once),
    Effect.either,
    Effect.map((outcome) => ({ outcome, requests: server.to(call.path), all: server.seen })),
    Effect.provide(server.layer)
  )
}

const failed = (call: RestCall, ...answers: ReadonlyArray<Answer>) =>
  Effect.map(attempt(call, ...answers), ({ outcome, requests }) => {
    assert.strictEqual(outcome._tag, "Left")
    return { error: (outcome as { readonly left: TinkerError.TinkerError }).left, requests: requests.length }
  })

const refused = (call: RestCall, status: number) => failed(call, json({ detail: "the server's words" }, status))

const expected = (call: RestCall, status: number): readonly [TinkerError.StatusReason, RegExp] => {
  switch (status) {
    case 401:
      return ["Authentication", call.path === "auth/apikey/me" ? /Check the key that was passed/ : /TINKER_API_KEY/]
    case 403:
      return ["PermissionDenied", /The key is valid but may not do this/]
    case 404:
      return call.name === "getCheckpointArchiveUrl"
        ? ["Unsupported", /save external weights instead/]
        : call.subject === undefined
        ? ["Unsupported", /This server has no such endpoint/]
        : ["NotFound", new RegExp(`There is no ${call.subject}`)]
    case 405:
      return ["Unsupported", call.name === "getCheckpointArchiveUrl" ? /external weights/ : /no such endpoint/]
    case 409:
      return ["Conflict", /public|exists already/]
    default:
      return ["UnprocessableEntity", /Fix the request/]
  }
}

for (const call of calls) {
  it.effect(`${call.name} sends one ${call.method} to ${call.path}, and no session is made for it`, () =>
    Effect.gen(function*() {
      const { all, outcome, requests } = yield* attempt(call, good(call))
      assert.strictEqual(outcome._tag, "Right")
      assert.isFalse(all.some(({ path }) => path === "create_session"))
      assert.deepStrictEqual(requests.map(({ method, query }) => ({ method, query })), [
        { method: call.method, query: call.query ?? {} }
      ])
      assert.deepStrictEqual(requests[0]!.text === "" ? undefined : JSON.parse(requests[0]!.text), call.body)
      const client = call.name.includes("Audit") || call.name.includes("Usage") ? "AdminClient" : "RestClient"
      assert.strictEqual(requests[0]!.headers["x-sdk-method"], `${client}.${call.name}`)
    }))

  for (const status of [401, 403, 404, 405, 409, 422]) {
    it.effect(`${call.name} fails after one request that is answered ${status}, and says what to do`, () =>
      Effect.gen(function*() {
        const { error, requests } = yield* refused(call, status)
        const [reason, advice] = expected(call, status)
        assert(error._tag === "ApiStatusError")
        assert.deepStrictEqual([error.status, error.reason], [status, reason])
        assert.match(error.message, advice)
        assert.include(error.message, "the server's words")
        assert.strictEqual(requests, 1)
      }))
  }

  for (const [status, reason] of [[429, "RateLimit"], [500, "InternalServer"]] as const) {
    it.effect(`${call.name} is sent again after ${status}, and fails when it stays so`, () =>
      Effect.gen(function*() {
        const trouble = json({ detail: "later" }, status)
        const mended = yield* attempt(call, trouble, good(call))
        assert.strictEqual(mended.outcome._tag, "Right")
        assert.strictEqual(mended.requests.length, 2)
        const keys = new Set(mended.requests.map(({ headers }) => headers["x-idempotency-key"]))
        assert.strictEqual(keys.size, 1)
        const { error, requests } = yield* failed(call, trouble)
        assert(error._tag === "ApiStatusError")
        assert.strictEqual(error.reason, reason)
        assert.match(error.message, /ry again/)
        assert.strictEqual(requests, 2)
      }))
  }

  for (
    const [what, body] of [
      ["a page in HTML", text("<!doctype html><title>Welcome</title>", "text/html")],
      ["nothing", text("")],
      ["half of an answer", text(JSON.stringify(call.answer ?? {}).slice(0, -1))]
    ] as const
  ) {
    it.effect(`${call.name} ${call.answer === undefined ? "takes" : "cannot read"} ${what}`, () =>
      Effect.gen(function*() {
        const { outcome, requests } = yield* attempt(call, body)
        if (call.answer === undefined) {
          assert.strictEqual(requests.length, 1)
          assert.strictEqual(outcome._tag, "Right")
        } else {
          assert.strictEqual(requests.length, 2)
          assert(outcome._tag === "Left" && outcome.left._tag === "ApiResponseValidationError")
          assert.match(outcome.left.message, /it is no JSON.*Check that the base URL is that of a Tinker server/)
        }
      }))
  }
}

it("names for 403 the right that is missing", () => {
  const message = (operation: string) =>
    new TinkerError.ApiStatusError({ operation, status: 403, reason: "PermissionDenied", detail: "" }).message
  assert.include(message("get_audit_log"), "an administrator of the organization")
  assert.include(message("get_billing_usage"), "the right to view the organization's billing")
  assert.include(message("publish_checkpoint"), "only the checkpoint's owner")
  assert.include(message("copy_weights"), "weightsAccessToken")
})
