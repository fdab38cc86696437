import type { Supervised } from "@effect-tinker/cookbook"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, TestClock } from "effect"
import * as Display from "../src/Display.js"
import { recording } from "./fixture.js"

const step = (step: number, checkpoint?: string): Supervised.Step => ({
  step,
  totalSteps: 10,
  epoch: 0,
  learningRate: 1e-3,
  nllPerToken: 2.34567,
  tokens: 100,
  tokensPerSecond: 6321.4,
  metrics: {},
  checkpoint
})

const show = (steps: ReadonlyArray<Supervised.Step>) =>
  Effect.flatMap(
    Display.Display,
    (display) =>
      Effect.forEach(steps, (one) => Effect.zipRight(display.step(one), TestClock.adjust("2 seconds")), {
        discard: true
      })
  )

it.effect("writes a plain line a step when it is no terminal, with the time left from the second on", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    yield* show([step(0), step(1), step(9)])
    assert.strictEqual(
      text(),
      "step  1/10   loss 2.346 nats/token   6,321 tokens/s\n"
        + "step  2/10   loss 2.346 nats/token   6,321 tokens/s   16 s left\n"
        + "step 10/10   loss 2.346 nats/token   6,321 tokens/s   0 s left\n"
    )
  }).pipe(Effect.provide(layer))
})

it.effect("writes over one line on a terminal, and ends it after the last step", () => {
  const { layer, text } = recording(true)
  return Effect.gen(function*() {
    yield* show([step(0), step(9)])
    assert.strictEqual(text().match(/\n/g)?.length, 1)
    assert.isTrue(text().startsWith("\r\u001B[2Kstep"))
    assert.isTrue(text().endsWith("\n"))
  }).pipe(Effect.provide(layer))
})

it.effect("counts no time as pace in which the server was waited for, and no step that is done again", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    const display = yield* Display.Display
    yield* show([step(0), step(1)])
    yield* display.waiting(0)
    yield* TestClock.adjust("1 hour")
    yield* show([step(2), step(3)])
    yield* TestClock.adjust("1 hour")
    yield* show([step(2), step(3)])
    assert.deepStrictEqual(text().match(/\d+ s left/g), [
      "16 s left",
      "14 s left",
      "12 s left",
      "14 s left",
      "12 s left"
    ])
  }).pipe(Effect.provide(layer))
})

it.effect("says how long the server is waited for in one line on a terminal, and elsewhere once a minute", () =>
  Effect.gen(function*() {
    const wait = Effect.gen(function*() {
      const display = yield* Display.Display
      for (const seconds of [0, 1, 59, 60, 61, 130]) yield* display.waiting(seconds * 1000)
      yield* display.note("It is back.")
    })
    const terminal = recording(true)
    yield* Effect.provide(wait, terminal.layer)
    assert.strictEqual(terminal.text().match(/\n/g)?.length, 1)
    assert.include(terminal.text(), "\r\u001B[2KWaiting for the server: 1 minute 1 s\r")
    assert.include(terminal.text(), "\r\u001B[2KIt is back.\n")
    const plain = recording(false)
    yield* Effect.provide(wait, plain.layer)
    assert.strictEqual(
      plain.text(),
      "Waiting for the server: 1 minute\nWaiting for the server: 2 minutes\nIt is back.\n"
    )
  }))

it.effect("shows warnings that are logged as lines of its own, but for those of a server that is waited for", () => {
  const { layer, text } = recording(true)
  return Effect.gen(function*() {
    const display = yield* Display.Display
    yield* Effect.logWarning("there is no credit")
    yield* display.waiting(0)
    yield* Effect.logWarning("no heartbeat was accepted")
    yield* display.note("It is back.")
    yield* Effect.logWarning("late")
    assert.include(text(), "\r\u001B[2Kwarning: there is no credit\n")
    assert.include(text(), "warning: late\n")
    assert.notInclude(text(), "heartbeat")
  }).pipe(Effect.provide(Layer.provideMerge(Display.layerLogger, layer)))
})

it.effect("shows each question with its answer", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    const display = yield* Display.Display
    yield* display.answers("Before", [{ question: "Who?", text: "Nobody." }, { question: "Why?", text: "" }])
    assert.strictEqual(text(), "Before\n  Who?\n    → Nobody.\n  Why?\n    → (nothing)\n\n")
  }).pipe(Effect.provide(layer))
})

const progress = (millions: ReadonlyArray<number>, total: number | undefined) =>
  Effect.flatMap(Display.Display, (display) =>
    Effect.forEach(millions, (done) =>
      display.progress({
        what: "Reading a",
        millionUnit: "MB",
        done: done * 1e6,
        total: total === undefined ? undefined : total * 1e6
      })))

it.effect("shows how far a long file is: over one line on a terminal, else a line a tenth", () =>
  Effect.gen(function*() {
    const terminal = recording(true)
    yield* Effect.provide(progress([0, 6, 12], 12), terminal.layer)
    assert.deepStrictEqual(terminal.written, [
      "\r\u001B[2KReading a: 0.0 of 12.0 MB, 0 %",
      "\r\u001B[2KReading a: 6.0 of 12.0 MB, 50 %",
      "\r\u001B[2KReading a: 12.0 of 12.0 MB, 100 %"
    ])
    const plain = recording(false)
    yield* Effect.provide(progress([0, 1, 2, 3, 12], 12), plain.layer)
    assert.strictEqual(
      plain.text(),
      "Reading a: 0.0 of 12.0 MB, 0 %\nReading a: 2.0 of 12.0 MB, 16 %\nReading a: 3.0 of 12.0 MB, 25 %\n"
        + "Reading a: 12.0 of 12.0 MB, 100 %\n"
    )
    const endless = recording(false)
    yield* Effect.provide(progress([3, 9, 15], undefined), endless.layer)
    assert.strictEqual(endless.text(), "Reading a: 3.0 MB\nReading a: 15.0 MB\n")
    const short = recording(false)
    yield* Effect.provide(progress([1], 1), short.layer)
    assert.strictEqual(short.text(), "")
  }))

it.effect("knows the newest checkpoint", () =>
  Effect.gen(function*() {
    const display = yield* Display.Display
    yield* display.step(step(0))
    assert.isUndefined(yield* display.kept)
    yield* display.step(step(4, "tinker://a"))
    yield* display.step(step(5))
    assert.deepStrictEqual(yield* display.kept, { path: "tinker://a", steps: 5 })
  }).pipe(Effect.provide(recording(false).layer)))
