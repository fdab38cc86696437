/** Requests that come again under the idempotency key of an earlier one, for which nothing is done twice. */
import * as Effect from "effect/Effect"
import * as Http from "../http/http.js"
import * as KeyedMutex from "../models/keyedMutex.js"
import * as Users from "./users.js"

/** What the key stands for: that of another user is another one. A key has no line break. */
export const keyOf = ({ headers }: Http.Received, owner: Users.Owner): string | undefined => {
  const key = headers["x-idempotency-key"]
  return key === undefined || owner === undefined ? key : `${key}\n${owner}`
}

/** What was made under a key, and of which body. */
export interface Made<A> {
  readonly body: string
  readonly value: A
}

/**
 * Makes something once for all requests of one user with one key and body, also when they come at the same time, as long as it is
 * `valid`. The last thousand are remembered.
 */
export const make = <A>(valid: (value: A) => boolean) => {
  const mutex = KeyedMutex.make()
  const known = new Map<string, Made<A>>()
  return <E>(request: Http.Received, make: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.flatMap(Users.current, (owner) => {
      const key = keyOf(request, owner)
      if (key === undefined) return make
      const body = Http.fingerprint(request.body)
      return mutex(
        key,
        Effect.suspend(() => {
          const before = known.get(key)
          if (before?.body === body && valid(before.value)) return Effect.succeed(before.value)
          return Effect.map(make, (value) => {
            known.delete(key)
            known.set(key, { body, value })
            if (known.size > maxRemembered) known.delete(known.keys().next().value!)
            return value
          })
        })
      )
    })
}

const maxRemembered = 1000
