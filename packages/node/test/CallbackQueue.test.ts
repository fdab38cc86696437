import { assert, it } from "@effect/vitest"
import { CallbackQueue } from "../src/internal/callbackQueue.js"

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

it("runs callbacks in order, a few in each turn of the event loop", async () => {
  const queue = new CallbackQueue()
  const run: Array<number> = []
  for (let i = 0; i < 30; i++) queue.add(() => run.push(i))
  assert.lengthOf(run, 0)
  await nextTurn()
  const first = run.length
  assert.isAbove(first, 0)
  assert.isBelow(first, 30)
  // What is added meanwhile comes last.
  queue.add(() => run.push(30))
  for (let i = 0; i < 10; i++) await nextTurn()
  assert.deepStrictEqual(run, Array.from({ length: 31 }, (_, i) => i))
})
