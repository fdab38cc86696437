import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Chat from "../Chat.js"
import type { Handler } from "../CommandTree.js"
import * as Output from "../Output.js"
import * as Renderers from "../Renderers.js"
import * as SampledModel from "../SampledModel.js"
import * as SamplingOptions from "../SamplingOptions.js"
import { UsageError } from "../UsageError.js"

interface Input extends SampledModel.Asked, SamplingOptions.SamplingOptions {
  readonly system: Option.Option<string>
  readonly renderer: Option.Option<string>
}

export const chat: Handler<Input> = (input) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    if (output.format === "json") {
      return yield* new UsageError({
        description: "a chat is words. Programs ask with: tinker sample --messages FILE --json"
      })
    }
    const params = yield* SamplingOptions.params(input)
    const model = yield* SampledModel.open(input)
    const renderer = yield* Renderers.choose(model, input.renderer)
    yield* output.notice(`${model.description}${output.isInteractive ? ". /help lists what can be typed." : ""}`)
    yield* Chat.converse(model, renderer, { system: Option.getOrUndefined(input.system), turns: [], params })
  })
