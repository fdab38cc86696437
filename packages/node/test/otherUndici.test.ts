import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Agent } from "undici"
import { UndiciHttpClient } from "../src/index.js"

/** As it is in Bun, whose classes have the same names and no methods. */
const withoutMethods = Effect.acquireRelease(
  Effect.sync(() => Object.defineProperty(Agent.prototype, "dispatch", { value: undefined, configurable: true })),
  () => Effect.sync(() => Reflect.deleteProperty(Agent.prototype, "dispatch"))
)

it.scoped("where a runtime has put something else in the place of undici, the client is refused and another is named", () =>
  Effect.gen(function*() {
    yield* withoutMethods
    const error = yield* Effect.flip(UndiciHttpClient.make())
    assert.strictEqual(error._tag, "InvalidInputError")
    assert.strictEqual(error.field, "undici")
    assert.include(error.message, "FetchHttpClient.layer")
  }))
