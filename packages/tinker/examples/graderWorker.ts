/** The worker of `workerGrader.ts`: answers go in, grades come out. What it computes holds up this thread alone. */
import { WorkerRunner } from "@effect/platform"
import { NodeRuntime, NodeWorkerRunner } from "@effect/platform-node"
import { Effect, Layer } from "effect"

/** Stands for a parser, a proof checker or whatever else computes long without a pause. Between 0 and 1. */
const grade = (tokens: Int32Array): number => {
  let sum = 0
  for (let round = 0; round < 10_000; round++) {
    for (let i = 0; i < tokens.length; i++) sum = (sum + tokens[i]!) % 1009
  }
  return sum / 1009
}

WorkerRunner.layer((tokens: Int32Array) => Effect.sync(() => grade(tokens))).pipe(
  Layer.provide(NodeWorkerRunner.layer),
  WorkerRunner.launch,
  NodeRuntime.runMain
)
