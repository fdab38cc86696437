import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import { UndiciHttpClient } from "../src/index.js"

const withVariable = (value: string) =>
  Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["TINKER_CONNECT_TIMEOUT", value]])))

it.scoped("a connect timeout that cannot be right is refused by the name of its option or variable", () =>
  Effect.gen(function*() {
    for (const value of ["soon", "0", "-1", "0x10", "1e3", "+5", "5s"]) {
      const error = yield* Effect.flip(withVariable(value)(UndiciHttpClient.make()))
      assert.strictEqual(error.field, "TINKER_CONNECT_TIMEOUT")
    }
    const error = yield* Effect.flip(UndiciHttpClient.make({ connectTimeout: 0 }))
    assert.strictEqual(error.field, "connectTimeout")
    yield* withVariable("2.5")(UndiciHttpClient.make())
  }))
