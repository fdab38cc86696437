import { Tokenizer } from "@huggingface/tokenizers"
import * as Schema from "effect/Schema"

/** The part of the library's tokenizer that is used here. */
export interface Library {
  readonly encode: (text: string, options: { readonly add_special_tokens: boolean }) => {
    readonly ids: ReadonlyArray<number>
  }
  readonly decode: (
    tokens: Array<number>,
    options: { readonly skip_special_tokens: boolean; readonly clean_up_tokenization_spaces: boolean }
  ) => string
  readonly id_to_token: (id: number) => string | undefined
  readonly get_vocab: () => Map<string, number>
}

const TokenizerFile = Schema.Struct(
  {
    model: Schema.Struct({}, { key: Schema.String, value: Schema.Unknown }),
    added_tokens: Schema.optionalWith(
      Schema.Array(
        Schema.Struct(
          {
            id: Schema.Number,
            content: Schema.String,
            special: Schema.optionalWith(Schema.Boolean, { default: () => false })
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

/** Throws when a part of `file` is unknown to the library. */
export const make = (file: TokenizerFile, config: ConfigFile): Library =>
  new Tokenizer(file, { eos_token: config.eosToken ?? null, bos_token: config.bosToken ?? null })
