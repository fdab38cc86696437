/** The shapes of a tokenizer's two files. */
import * as Schema from "effect/Schema"

const TokenizerFile = Schema.Struct(
  {
    model: Schema.Struct({}, { key: Schema.String, value: Schema.Unknown }),
    added_tokens: Schema.optionalWith(
      Schema.Array(
        Schema.Struct(
          {
            id: Schema.Number,
            content: Schema.String,
            special: Schema.optionalWith(Schema.Boolean, { default: () => false }),
            normalized: Schema.optional(Schema.Boolean),
            single_word: Schema.optionalWith(Schema.Boolean, { default: () => false }),
            lstrip: Schema.optionalWith(Schema.Boolean, { default: () => false }),
            rstrip: Schema.optionalWith(Schema.Boolean, { default: () => false })
          },
          { key: Schema.String, value: Schema.Unknown }
        )
      ),
      { default: () => [] }
    ),
    normalizer: Schema.optionalWith(Schema.Unknown, { default: () => null }),
    pre_tokenizer: Schema.optionalWith(Schema.Unknown, { default: () => null }),
    post_processor: Schema.optionalWith(Schema.Unknown, { default: () => null }),
    decoder: Schema.optionalWith(Schema.Unknown, { default: () => null })
  },
  { key: Schema.String, value: Schema.Unknown }
)

export type TokenizerFile = typeof TokenizerFile.Type

export const decodeTokenizerFile = Schema.decodeUnknown(TokenizerFile)

/** A special token is named by its text, or by an object that holds it. */
const TokenName = Schema.Union(
  Schema.String,
  Schema.transform(Schema.Struct({ content: Schema.String }), Schema.String, {
    strict: true,
    decode: ({ content }) => content,
    encode: (content) => ({ content })
  })
)

const ConfigFile = Schema.Struct({
  addBosToken: Schema.optionalWith(Schema.Boolean, { nullable: true, exact: true }).pipe(
    Schema.fromKey("add_bos_token")
  ),
  bosToken: Schema.optionalWith(TokenName, { nullable: true, exact: true }).pipe(Schema.fromKey("bos_token")),
  eosToken: Schema.optionalWith(TokenName, { nullable: true, exact: true }).pipe(Schema.fromKey("eos_token"))
})

export type ConfigFile = typeof ConfigFile.Type

export const decodeConfigFile = Schema.decodeUnknown(ConfigFile)
