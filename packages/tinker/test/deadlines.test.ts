import { assert, it } from "@effect/vitest"
import { Duration, Effect, Exit } from "effect"
import * as Deadlines from "../src/internal/transport/deadlines.js"

it.effect("work that is done before it has begun gives its outcome, as when a runtime refuses a request at once", () =>
  Effect.gen(function*() {
    const begun = (outcome: Effect.Effect<string, string>) =>
      Effect.scoped(Effect.gen(function*() {
        const deadlines = yield* Deadlines.make
        return yield* deadlines.async<string, string, "late">(
          (done) => {
            done(outcome)
            return () => {}
          },
          Duration.minutes(1),
          () => "late",
          undefined
        )
      }))
    assert.deepStrictEqual(yield* Effect.exit(begun(Effect.succeed("done"))), Exit.succeed("done"))
    assert.deepStrictEqual(yield* Effect.exit(begun(Effect.fail("refused"))), Exit.fail("refused"))
  }))
