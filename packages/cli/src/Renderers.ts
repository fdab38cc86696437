/**
 * The ways in which conversations are written for models, by the names that checkpoints have for them.
 */
import * as RoleRenderer from "@effect-tinker/cookbook/RoleRenderer"
import type * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Output from "./Output.js"
import type { SampledModel } from "./SampledModel.js"
import { UsageError } from "./UsageError.js"

const makers: ReadonlyMap<string, (tokenizer: Tokenizer.Service) => RoleRenderer.RoleRenderer> = new Map([
  [RoleRenderer.name, RoleRenderer.fromTokenizer]
])

/**
 * The renderer that was asked for, or else the one that the model was trained with. A model that nothing is known of gets plain text, and
 * that is said. `UsageError` for a name that is not known.
 *
 * @since 0.1.0
 * @category constructors
 */
export const choose = (model: SampledModel, asked: Option.Option<string>) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const name = Option.isSome(asked) ? asked.value : yield* model.renderer
    if (name === undefined) {
      yield* output.notice(
        `Nothing says how conversations were written for this model; they are written as plain text (renderer ${
          JSON.stringify(RoleRenderer.name)
        }).`
      )
      return RoleRenderer.fromTokenizer(model.tokenizer)
    }
    const make = makers.get(name)
    if (make !== undefined) return make(model.tokenizer)
    const names = `There is: ${Array.from(makers.keys()).join(", ")}.`
    return yield* new UsageError({
      description: Option.isSome(asked)
        ? `--renderer is ${JSON.stringify(name)}, which is not known. ${names}`
        : `${model.checkpoint} was trained with the renderer ${
          JSON.stringify(name)
        }, which is not known here: conversations written otherwise would get other answers. ${names} --renderer takes it all the same.`
    })
  })
