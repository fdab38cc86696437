import * as ApiFuture from "effect-tinker/ApiFuture"
import * as RestClient from "effect-tinker/RestClient"
import * as ServiceClient from "effect-tinker/ServiceClient"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as CheckpointPath from "../CheckpointPath.js"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as NewFile from "../NewFile.js"
import * as Output from "../Output.js"
import * as SampledModel from "../SampledModel.js"
import * as Table from "../Table.js"
import { UsageError } from "../UsageError.js"

interface Input {
  readonly source: string
  readonly name: Option.Option<string>
  /** A number of milliseconds. */
  readonly ttl: Option.Option<number>
  readonly rank: Option.Option<number>
  readonly seed: Option.Option<number>
  readonly noTrainAttn: boolean
  readonly noTrainMlp: boolean
  readonly noTrainUnembed: boolean
  readonly output: Option.Option<string>
  readonly force: boolean
}

export const save: Handler<Input> = (input) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const source = yield* sourceOf(input)
    if (Option.isSome(input.output)) yield* NewFile.check(input.output.value, { isReplaced: input.force })
    yield* output.progress("The service is making the model …")
    const service = yield* ServiceClient.ServiceClient
    const training = yield* Connection.impatient(
      source.path === undefined
        ? service.createLoraTrainingClient({
          baseModel: input.source,
          rank: Option.getOrElse(input.rank, () => 32),
          seed: Option.getOrUndefined(input.seed),
          trainAttn: !input.noTrainAttn,
          trainMlp: !input.noTrainMlp,
          trainUnembed: !input.noTrainUnembed
        })
        : service.createTrainingClientFromState(source.path)
    )
    const userMetadata = source.path === undefined
      ? undefined
      : yield* SampledModel.metadataOf(yield* RestClient.RestClient, source.path)
    yield* output.progress("The service is saving its weights …")
    const { path } = yield* Connection.impatient(
      ApiFuture.flatten(training.saveWeightsForSampler({
        name: Option.getOrElse(input.name, () => source.name),
        ttl: Option.getOrUndefined(Option.map(input.ttl, Duration.millis)),
        userMetadata: Object.keys(userMetadata ?? {}).length === 0 ? undefined : userMetadata
      }))
    )
    yield* output.progress("")
    const { modelData, modelId } = training.info
    const saved = {
      base_model: modelData.modelName ?? (source.path === undefined ? input.source : null),
      model_id: modelId,
      weights_path: path,
      saved_at: DateTime.formatIso(yield* DateTime.now).replace(/\.\d+Z$/, "Z")
    }
    if (Option.isSome(input.output)) {
      yield* NewFile.write(
        input.output.value,
        Stream.make(new TextEncoder().encode(`${JSON.stringify(saved, null, 2)}\n`))
      )
    }
    yield* output.result({
      json: saved,
      text: (layout) =>
        layout.width === undefined ? `${path}\n` : Table.facts("Checkpoint saved", [
          ["Tinker Path", path],
          ["Base Model", saved.base_model ?? "N/A"],
          ["Training Run ID", modelId]
        ])(layout)
    })
  }).pipe(Effect.provide(Connection.layer))

interface Source {
  /** None for a base model. */
  readonly path: string | undefined
  /** What the checkpoint is called unless something else is said. */
  readonly name: string
}

const sourceOf = ({ force, noTrainAttn, noTrainMlp, noTrainUnembed, output, rank, seed, source }: Input) =>
  Effect.gen(function*() {
    if (force && Option.isNone(output)) {
      return yield* new UsageError({ description: "--force is for a file that --output names." })
    }
    if (!SampledModel.isPath(source)) {
      return {
        path: undefined,
        name: `checkpoint-${source.toLowerCase().replace(/[^a-z0-9._-]/g, "-")}`
      } satisfies Source
    }
    const parsed = yield* CheckpointPath.parse(source)
    if (parsed.checkpointType !== "training") {
      return yield* new UsageError({
        description: `${source} holds no weights to go on from: give a checkpoint of weights, or a base model.`
      })
    }
    const isOfBase = Option.isSome(rank) || Option.isSome(seed) || noTrainAttn || noTrainMlp || noTrainUnembed
    return isOfBase
      ? yield* new UsageError({
        description:
          "--rank, --seed and --no-train-… make a model anew, and a checkpoint is one already. Leave them off."
      })
      : { path: source, name: parsed.name } satisfies Source
  })
