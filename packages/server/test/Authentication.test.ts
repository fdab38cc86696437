import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, TestClock } from "effect"
import { Faults } from "../src/index.js"
import * as Wire from "./wire.js"

const withTokens = Wire.server({ protocol: { apiKeys: ["tml-right"], jwt: { lifetime: "10 minutes" } } })

const as = (credential: string) => ({ "x-api-key": credential })

const exchange = Effect.map(Wire.post("auth/token", {}, as("tml-right")), ({ body }) => String(body.jwt))

const createSession = (credential: string) =>
  Wire.post("create_session", { tags: [], sdk_version: "0.38.0" }, as(credential))

const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString()) as Record<string, unknown>

describe("authentication", () => {
  it.effect("exchanges a key for a token that every other route wants to see", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("100 seconds")
      const config = yield* Wire.post("client/config", { sdk_version: "0.38.0" }, as("tml-right"))
      assert.isTrue(config.body.pjwt_auth_enabled)
      const token = yield* exchange
      const { email, exp, iat, org_id: organization, sub } = claimsOf(token)
      assert.deepStrictEqual([iat, exp], [100, 700])
      assert.deepStrictEqual([sub, organization, email], ["tml:organization_user:key-1", "local", "key-1@localhost"])
      assert.strictEqual((yield* createSession(token)).status, 200)
      assert.strictEqual((yield* createSession("tml-right")).status, 401)
      assert.strictEqual((yield* Wire.post("auth/token", {}, as("tml-wrong"))).status, 401)
      assert.strictEqual((yield* Wire.post("client/config", { sdk_version: "0.38.0" }, as(token))).status, 401)
    }).pipe(Effect.provide(withTokens)))

  it.effect("gives no token that can be made from what others know: two of the same holder and second differ by a secret", () =>
    Effect.gen(function*() {
      const { jti: one, ...first } = claimsOf(yield* exchange)
      const { jti: other, ...second } = claimsOf(yield* exchange)
      assert.deepStrictEqual(first, second)
      assert.notStrictEqual(one, other)
      for (const jti of [one, other]) assert.match(String(jti), /^[\w-]{32}$/)
    }).pipe(Effect.provide(withTokens)))

  it.effect("marks the refusal of an expired, a revoked and an unknown token", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const refused = (token: string) =>
        Effect.map(createSession(token), ({ headers, status }) => [status, headers["www-authenticate"]])
      const marked = [401, "Bearer error=\"invalid_token\""]
      const first = yield* exchange
      assert.deepStrictEqual(yield* refused(`${first}x`), marked)
      yield* TestClock.adjust(Duration.minutes(10))
      assert.deepStrictEqual(yield* refused(first), marked)
      const second = yield* exchange
      assert.strictEqual((yield* createSession(second)).status, 200)
      yield* faults.revokeTokens
      assert.deepStrictEqual(yield* refused(second), marked)
      assert.strictEqual((yield* createSession(yield* exchange)).status, 200)
    }).pipe(Effect.provide(withTokens)))

  it.effect("gives no tokens unless told to", () =>
    Effect.gen(function*() {
      const config = yield* Wire.post("client/config", { sdk_version: "0.38.0" })
      assert.isFalse(config.body.pjwt_auth_enabled)
      assert.strictEqual((yield* Wire.post("auth/token", {})).status, 404)
    }).pipe(Effect.provide(Wire.server())))
})
