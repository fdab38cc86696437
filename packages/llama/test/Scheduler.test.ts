import { assert, describe, it } from "@effect/vitest"
import * as Scheduler from "../src/Scheduler.js"

const pause = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Takes `count` turns one after another and writes each down. */
const turns = async (
  scheduler: Scheduler.Scheduler,
  kind: Scheduler.Kind,
  count: number,
  name: string,
  log: string[]
) => {
  for (let i = 0; i < count; i++) {
    await scheduler.turn(kind, async () => {
      log.push(`${name} begins`)
      await pause()
      log.push(name)
    })
  }
}
const ended = (log: ReadonlyArray<string>) => log.filter((entry) => !entry.endsWith("begins"))

describe("Scheduler", () => {
  it("gives training one turn, then sampling eight, as long as both want some", async () => {
    const scheduler = Scheduler.make()
    const log: Array<string> = []
    await Promise.all([turns(scheduler, "training", 3, "t", log), turns(scheduler, "sampling", 20, "s", log)])
    assert.strictEqual(ended(log).join(""), `t${"s".repeat(8)}t${"s".repeat(8)}tssss`)
  })

  it("runs one at a time, and those of a kind in the order of their coming", async () => {
    const scheduler = Scheduler.make()
    const log: Array<string> = []
    await Promise.all([turns(scheduler, "sampling", 3, "a", log), turns(scheduler, "sampling", 3, "b", log)])
    assert.strictEqual(ended(log).join(""), "ababab")
    log.forEach((entry, i) => {
      if (i % 2 === 0) assert.strictEqual(entry, `${log[i + 1]} begins`)
    })
  })

  it("gives turns to a kind that is alone, and goes on after a turn that failed", async () => {
    const scheduler = Scheduler.make()
    const failed = await scheduler.turn("training", () => Promise.reject(new Error("no"))).catch(String)
    assert.strictEqual(failed, "Error: no")
    const log: Array<string> = []
    await turns(scheduler, "sampling", 12, "s", log)
    await turns(scheduler, "training", 2, "t", log)
    assert.strictEqual(ended(log).join(""), `${"s".repeat(12)}tt`)
  })

  it("runs jobs in order, after one that failed too", async () => {
    const scheduler = Scheduler.make()
    const log: Array<string> = []
    const job = (name: string, fails = false) =>
      scheduler.inOrder(async () => {
        log.push(`${name} begins`)
        await pause()
        if (fails) throw new Error(name)
        log.push(name)
        return name
      })
    const results = await Promise.allSettled([job("a"), job("b", true), job("c")])
    assert.deepStrictEqual(results.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"])
    assert.deepStrictEqual(log, ["a begins", "a", "b begins", "c begins", "c"])
  })
})
