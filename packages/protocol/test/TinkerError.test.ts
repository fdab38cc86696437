import { assert, it } from "@effect/vitest"
import { Duration, Match } from "effect"
import { TinkerError } from "../src/index.js"

const operation = "optim_step"
const status = (status: number, shouldRetry?: boolean) =>
  new TinkerError.ApiStatusError({
    operation,
    status,
    reason: TinkerError.reasonOfStatus(status),
    detail: "too much",
    shouldRetry
  })
const page = (status: number) =>
  new TinkerError.ApiStatusError({
    operation,
    status,
    reason: TinkerError.reasonOfStatus(status),
    detail: "<html>",
    isForeign: true
  })
const timeout = (reason: typeof TinkerError.TimeoutReason.Type) =>
  new TinkerError.ApiTimeoutError({ operation, reason, deadline: Duration.seconds(60), requestId: "r-1" })
const failed = (category: "user" | "server" | "unknown") =>
  new TinkerError.RequestFailedError({ operation, requestId: "r-1", category, description: "no gradient" })

/** Whether it may be sent again, whose fault it is, and whether the server certainly did not take it. */
const table: ReadonlyArray<readonly [string, TinkerError.TinkerError, boolean, boolean, boolean]> = [
  ["no connection", new TinkerError.ApiConnectionError({ operation, url: "u", description: "d" }), true, false, false],
  ["400", status(400), false, true, true],
  ["401", status(401), false, true, true],
  ["402", status(402), false, true, true],
  ["403", status(403), false, true, true],
  ["404", status(404), false, true, true],
  ["408", status(408), true, false, false],
  ["409", status(409), false, true, true],
  ["410", status(410), false, true, true],
  ["422", status(422), false, true, true],
  ["429", status(429), true, false, false],
  ["500", status(500), true, false, false],
  ["503", status(503), true, false, false],
  ["409 that says so", status(409, true), true, true, true],
  ["501", status(501), false, false, false],
  ["505", status(505), false, false, false],
  ["a page with status 404", page(404), true, false, false],
  ["a page with status 403", page(403), true, false, false],
  ["a page with status 413", page(413), false, false, false],
  ["a page with status 503", page(503), true, false, false],
  ["503 that says no", status(503, false), false, false, false],
  ["a request's timeout", timeout("request"), true, false, false],
  ["the end of waiting", timeout("waiting"), false, false, false],
  ["a stuck request", timeout("stuck"), false, false, false],
  [
    "an answer that is cut off",
    new TinkerError.ApiResponseValidationError({ operation, description: "d", isUnreadable: true }),
    true,
    false,
    false
  ],
  [
    "an unknown outcome",
    new TinkerError.OutcomeUnknownError({ operation, unknownCall: "saveState", seqId: 4, description: "lost" }),
    false,
    false,
    false
  ],
  [
    "an answer that is none",
    new TinkerError.ApiResponseValidationError({ operation, description: "d" }),
    false,
    false,
    false
  ],
  ["wrong data", failed("user"), false, true, false],
  ["the server's failure", failed("server"), false, false, false],
  ["a failure of nobody", failed("unknown"), false, false, false],
  ["wrong input", new TinkerError.InvalidInputError({ operation, field: "f", description: "d" }), false, true, true],
  ["a closed session", new TinkerError.SessionClosedError({ operation, reason: "closed" }), false, false, true],
  [
    "a budget exceeded",
    new TinkerError.BudgetExceededError({ operation, unit: "USD", budget: 1, left: 0.1, asked: 0.2 }),
    false,
    true,
    true
  ]
]

for (const [what, error, isRetryable, isUserError, isDefinitelyRefused] of table) {
  it(`${what} is ${isRetryable ? "" : "not "}sent again and is ${isUserError ? "" : "not "}the caller's fault`, () => {
    assert.strictEqual(TinkerError.isRetryable(error), isRetryable)
    assert.strictEqual(TinkerError.isUserError(error), isUserError)
    assert.strictEqual(TinkerError.isDefinitelyRefused(error), isDefinitelyRefused)
    assert.isTrue(TinkerError.isTinkerError(error))
    assert.isTrue(error.message.startsWith(`${operation}: `))
  })
}

it("a taken name is known of a refused save and of one that failed, and of nothing else", () => {
  const refused = (operation: string, options: { readonly isForeign?: true } = {}) =>
    new TinkerError.ApiStatusError({ operation, status: 409, reason: "Conflict", detail: "", ...options })
  const saved = (operation: string, description: string, category: "user" | "server" = "user") =>
    new TinkerError.RequestFailedError({ operation, requestId: "r", category, description })
  for (
    const taken of [
      refused("save_weights"),
      refused("save_weights_for_sampler"),
      saved("TrainingClient.saveState", "the checkpoint a exists already"),
      saved("TrainingClient.saveWeightsExternal", "Checkpoint 'a' already exists for model 'm'")
    ]
  ) assert.isTrue(TinkerError.isNameTaken(taken))
  for (
    const other of [
      refused("publish_checkpoint"),
      refused("save_weights", { isForeign: true }),
      saved("TrainingClient.saveState", "ttl_seconds is 60"),
      saved("TrainingClient.saveState", "the checkpoint a exists already", "server"),
      saved("TrainingClient.optimStep", "the step exists already")
    ]
  ) assert.isFalse(TinkerError.isNameTaken(other))
})

it("nothing but a TinkerError passes for one", () => {
  for (const other of [new Error("no"), undefined, { _tag: "ApiStatusError" }]) {
    assert.isFalse(TinkerError.isTinkerError(other))
  }
})

it("a match must have an answer for every error", () => {
  const explain = Match.typeTags<TinkerError.TinkerError>()
  const answers = {
    ApiConnectionError: () => "wait",
    ApiStatusError: ({ status }: TinkerError.ApiStatusError) => `status ${status}`,
    ApiTimeoutError: () => "wait longer",
    ApiResponseValidationError: () => "report it",
    RequestFailedError: ({ category }: TinkerError.RequestFailedError) => category,
    InvalidInputError: () => "fix the call",
    SessionClosedError: () => "begin anew",
    OutcomeUnknownError: () => "go on from a checkpoint"
  }
  // @ts-expect-error: an error is left out
  explain(answers)
  const all = explain({ ...answers, BudgetExceededError: () => "ask for less" })
  assert.strictEqual(all(status(429)), "status 429")
  assert.strictEqual(all(failed("user")), "user")
})

it("the error after several attempts tells how many there were and how long they took", () => {
  const error = TinkerError.withAttempts(status(503), 3, 2500)
  assert.include(error.message, "3 attempts in 2.5 s")
  assert.include(error.message, "too much")
})

it("an error that tells more keeps its cause", () => {
  const cause = new Error("reset")
  const lost = new TinkerError.ApiConnectionError({ operation, url: "u", description: "d", cause })
  assert.strictEqual(TinkerError.withAttempts(lost, 2, 1).cause, cause)
})

it("many things to fix are told at once, and no more than a screen of them", () => {
  const issues = Array.from({ length: 30 }, (_, i) => ({ field: `data[${i}]`, description: "is empty" }))
  const error = TinkerError.invalidInput("forwardBackward", issues)
  assert.strictEqual(error.others.length, 29)
  assert.include(error.message, "data[0]: is empty")
  assert.include(error.message, "data[9]")
  assert.notInclude(error.message, "data[10]")
  assert.include(error.message, "and 20 more")
})

it("a failed result tells request and category, and what to do about it", () => {
  assert.include(failed("user").message, "r-1")
  assert.include(failed("user").message, "Fix the data")
  assert.include(failed("server").message, "Try again")
})

it("one guard holds for a missing connection and for an answer that came too late", () => {
  const unanswered = table.filter(([, error]) => TinkerError.isUnanswered(error)).map(([name]) => name)
  assert.deepStrictEqual(unanswered, ["no connection", "a request's timeout"])
})
