import * as RestClient from "effect-tinker/RestClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Failure from "../Failure.js"
import * as Humanize from "../Humanize.js"
import * as Output from "../Output.js"
import * as Table from "../Table.js"

export const list: Handler<{ readonly filter: Option.Option<string> }> = ({ filter }) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const rest = yield* RestClient.RestClient
    const { supportedModels } = yield* Connection.brief(rest.getServerCapabilities)
    const wanted = Option.getOrElse(filter, () => "").toLowerCase()
    const models = supportedModels.filter(({ modelName = "" }) => modelName.toLowerCase().includes(wanted))
    if (models.length === 0 && wanted !== "") {
      return yield* Failure.failed(
        `none of the ${supportedModels.length} models of the service has ${
          JSON.stringify(Option.getOrThrow(filter))
        } in its name.`
      )
    }
    const known = (value: boolean | undefined) => value === undefined ? "N/A" : Humanize.yesNo(value)
    yield* output.result({
      json: {
        models: models.map((model) => ({
          model_name: model.modelName ?? null,
          max_context_length: model.maxContextLength ?? null,
          trainable: model.trainable ?? null,
          sampleable: model.sampleable ?? null
        }))
      },
      text: Table.table(Humanize.counted(models.length, "model"), [
        { title: "Model", text: ({ modelName = "N/A" }) => modelName },
        {
          title: "Max Context",
          text: ({ maxContextLength }) => maxContextLength === undefined ? "N/A" : String(maxContextLength),
          rank: 1,
          isNumeric: true
        },
        { title: "Trainable", text: ({ trainable }) => known(trainable), rank: 2 },
        { title: "Sampleable", text: ({ sampleable }) => known(sampleable), rank: 3 }
      ], models)
    })
  }).pipe(Effect.provide(Connection.layer))
