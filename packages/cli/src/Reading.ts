/**
 * How a model would read a file of conversations: its tokenizer, and how much it has room for.
 */
import * as ShippedModel from "@effect-tinker/llama/ShippedModel"
import * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as BaseModel from "./BaseModel.js"
import * as Connection from "./Connection.js"
import * as Local from "./Local.js"
import * as Remote from "./Remote.js"
import { UsageError } from "./UsageError.js"

/**
 * What commands are given of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Asked {
  readonly file: string
  readonly baseModel: Option.Option<string>
  readonly tokenizer: Option.Option<string>
  readonly ignoreKeys: Option.Option<string>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Reader {
  readonly tokenizer: Tokenizer.Service
  /** None where a tokenizer alone was named. */
  readonly baseModel: string | undefined
  readonly maxContextLength: number | undefined
}

/**
 * The reader that was asked for: a model of the service, a tokenizer alone, or without either the model that ships.
 *
 * @since 0.1.0
 * @category constructors
 */
export const open = ({ baseModel, tokenizer }: Asked) =>
  Effect.gen(function*() {
    if (Option.isSome(baseModel)) {
      const model = yield* Effect.provide(Connection.brief(Remote.choose(baseModel.value)), Connection.layer)
      return {
        tokenizer: yield* Connection.withSettings(Remote.tokenizerOf(model, Option.getOrUndefined(tokenizer))),
        baseModel: model.name,
        maxContextLength: model.maxContextLength
      } satisfies Reader
    }
    if (Option.isSome(tokenizer)) {
      const own = yield* Effect.provide(Tokenizer.Tokenizer, Tokenizer.layerFolder(tokenizer.value))
      return { tokenizer: own, baseModel: undefined, maxContextLength: undefined } satisfies Reader
    }
    const context = yield* Layer.build(Local.layerModel(ShippedModel.folder))
    const { maxContextLength, name } = Context.get(context, BaseModel.BaseModel)
    return { tokenizer: Context.get(context, Tokenizer.Tokenizer), baseModel: name, maxContextLength } satisfies Reader
  })

/**
 * The keys that are of no account. `UsageError` for an empty one.
 *
 * @since 0.1.0
 * @category parsing
 */
export const ignoredKeys = ({ ignoreKeys }: Asked): Effect.Effect<ReadonlyArray<string>, UsageError> => {
  const keys = Option.match(ignoreKeys, {
    onNone: (): ReadonlyArray<string> => [],
    onSome: (text) => text.split(",").map((key) => key.trim())
  })
  return keys.includes("")
    ? new UsageError({
      description:
        "--ignore-keys names keys with commas between them, and one of them is empty. Write them as id,timestamp."
    })
    : Effect.succeed(keys)
}
