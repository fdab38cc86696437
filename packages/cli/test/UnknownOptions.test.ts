import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as UnknownOptions from "../src/UnknownOptions.js"

const names = ["steps", "learning-rate", "checkpoint-every", "out"]

const said = (...args: ReadonlyArray<string>) =>
  Effect.match(UnknownOptions.check(args, names), { onFailure: ({ message }) => message, onSuccess: () => "" })

it.effect("lets options that exist pass, values, and what stands behind --", () =>
  Effect.gen(function*() {
    assert.strictEqual(yield* said("--steps", "3", "--learning-rate=0.1", "-h", "--help", "--", "--other"), "")
  }))

it.effect("suggests the option that was meant", () =>
  Effect.gen(function*() {
    assert.include(yield* said("--step", "3"), "Was --steps meant?")
    assert.include(yield* said("--learing-rate=1"), "there is no option --learing-rate. Was --learning-rate meant?")
    assert.include(yield* said("--otu", "a"), "Was --out meant?")
    assert.include(yield* said("--checkpoint", "3"), "Was --checkpoint-every meant?")
  }))

it.effect("suggests none that is nothing like it", () =>
  Effect.gen(function*() {
    assert.include(yield* said("--frobnicate"), "there is no option --frobnicate. --help lists")
  }))
