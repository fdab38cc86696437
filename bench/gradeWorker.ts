/** The grader as a worker: answers go in, grades come out. */
import { WorkerRunner } from "@effect/platform"
import { NodeRuntime, NodeWorkerRunner } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { grade } from "./grade.js"

WorkerRunner.layer((tokens: Int32Array) => Effect.sync(() => grade(tokens))).pipe(
  Layer.provide(NodeWorkerRunner.layer),
  WorkerRunner.launch,
  NodeRuntime.runMain
)
