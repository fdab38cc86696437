import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Ref, Scope } from "effect"
import { type Futures, RequestQueue } from "../src/index.js"

const openGate: RequestQueue.Gate = { open: Effect.void, state: Effect.succeed(undefined) }

/** A queue that begins at 1 and notes what it runs. */
const makeQueue = (gate = openGate) =>
  Effect.gen(function*() {
    const ran = yield* Ref.make<ReadonlyArray<string>>([])
    const queue = yield* RequestQueue.make({ first: 1, gate })
    const note = (what: string) => Ref.update(ran, (all) => [...all, what])
    const submit = (seqId: number, options: { fingerprint?: string; run?: Effect.Effect<void> } = {}) =>
      queue.submit({
        seqId,
        fingerprint: options.fingerprint ?? `${seqId}`,
        run: Effect.zipRight(options.run ?? Effect.void, note(`ran ${seqId}`)),
        abandon: note(`abandoned ${seqId}`)
      })
    /** What ran, after everything that can run has. */
    const settled = Effect.zipRight(Effect.repeatN(Effect.yieldNow(), 20), Ref.get(ran))
    return { queue, submit, settled }
  })

describe("RequestQueue", () => {
  it.scoped("runs in the order of numbers and holds what comes after a gap", () =>
    Effect.gen(function*() {
      const { queue, settled, submit } = yield* makeQueue()
      yield* submit(3)
      yield* submit(2)
      assert.deepStrictEqual(yield* settled, [])
      assert.deepStrictEqual(yield* queue.state, { state: "active", reason: "waiting for request 1 of this model" })
      yield* submit(1)
      assert.deepStrictEqual(yield* settled, ["ran 1", "ran 2", "ran 3"])
      assert.deepStrictEqual(yield* queue.state, { state: "active" })
    }))

  it.scoped("runs one at a time", () =>
    Effect.gen(function*() {
      const { settled, submit } = yield* makeQueue()
      const go = yield* Deferred.make<void>()
      yield* submit(1, { run: Deferred.await(go) })
      yield* submit(2)
      assert.deepStrictEqual(yield* settled, [])
      yield* Deferred.succeed(go, undefined)
      assert.deepStrictEqual(yield* settled, ["ran 1", "ran 2"])
    }))

  it.scoped("knows a request again, before, while and after it runs", () =>
    Effect.gen(function*() {
      const { queue, settled, submit } = yield* makeQueue()
      const go = yield* Deferred.make<void>()
      assert.isFalse(yield* queue.knows(2))
      assert.strictEqual(yield* submit(2), "Accepted")
      assert.isTrue(yield* queue.knows(2))
      assert.strictEqual(yield* submit(2), "Duplicate")
      assert.strictEqual(yield* submit(1, { run: Deferred.await(go) }), "Accepted")
      yield* settled
      assert.strictEqual(yield* submit(1), "Duplicate")
      yield* Deferred.succeed(go, undefined)
      assert.deepStrictEqual(yield* settled, ["ran 1", "ran 2"])
      assert.strictEqual(yield* submit(1), "Duplicate")
      assert.strictEqual(yield* submit(1, { fingerprint: "other" }), "Conflict")
      assert.deepStrictEqual(yield* settled, ["ran 1", "ran 2"])
      assert.isTrue(yield* queue.knows(2))
      yield* queue.reject(4)
      yield* submit(5)
      assert.isFalse(yield* queue.knows(4))
    }))

  it.scoped("takes a refused number again", () =>
    Effect.gen(function*() {
      const { queue, settled, submit } = yield* makeQueue()
      yield* submit(2)
      yield* queue.reject(1)
      assert.deepStrictEqual(yield* settled, [])
      assert.strictEqual(yield* submit(1, { fingerprint: "mended" }), "Accepted")
      assert.deepStrictEqual(yield* settled, ["ran 1", "ran 2"])
      yield* queue.reject(4)
      yield* submit(4)
      yield* submit(5)
      yield* submit(3)
      assert.deepStrictEqual(yield* settled, ["ran 1", "ran 2", "ran 3", "ran 4", "ran 5"])
    }))

  it.scoped("passes over a refused number when a later one arrives, and does not take it any more", () =>
    Effect.gen(function*() {
      const { queue, settled, submit } = yield* makeQueue()
      yield* submit(1)
      yield* queue.reject(2)
      yield* queue.reject(3)
      yield* submit(4)
      assert.deepStrictEqual(yield* settled, ["ran 1", "ran 4"])
      assert.strictEqual(yield* submit(2), "Passed")
      yield* queue.reject(1)
      yield* submit(5)
      assert.deepStrictEqual(yield* settled, ["ran 1", "ran 4", "ran 5"])
    }))

  it.effect("interrupts what runs, abandons what waits and takes nothing more when it is closed", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { settled, submit } = yield* Scope.extend(makeQueue(), scope)
      yield* submit(1, { run: Effect.never })
      yield* submit(2)
      yield* settled
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* settled, ["abandoned 1", "abandoned 2"])
      assert.strictEqual(yield* submit(3), "Closed")
    }))

  it.effect("can be closed even if a request came from a place that cannot be interrupted", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { settled, submit } = yield* Scope.extend(makeQueue(), scope)
      yield* Effect.uninterruptible(submit(1, { run: Effect.never }))
      yield* settled
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* settled, ["abandoned 1"])
    }))

  it.scoped("holds everything while its gate is shut, and says so", () =>
    Effect.gen(function*() {
      const opened = yield* Deferred.make<void>()
      const paused: Futures.QueueState = { state: "paused_capacity", reason: "full" }
      const shut = yield* Ref.make<Futures.QueueState | undefined>(paused)
      const { queue, settled, submit } = yield* makeQueue({ open: Deferred.await(opened), state: Ref.get(shut) })
      yield* submit(1)
      assert.deepStrictEqual(yield* settled, [])
      assert.deepStrictEqual(yield* queue.state, paused)
      yield* Ref.set(shut, undefined)
      yield* Deferred.succeed(opened, undefined)
      assert.deepStrictEqual(yield* settled, ["ran 1"])
    }))
})
