/** What is known of a checkpoint without reading its tensors, as the JSON beside them. */
import type * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import { defaulted } from "@effect-tinker/protocol/WireField"
import * as Effect from "effect/Effect"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Info } from "../../CheckpointStore.js"
import { loraAlpha } from "./checkpointContents.js"

/** The SHA-256 sums of files by their names. */
export type Sums = Readonly<Record<string, string>>

const Meta = Schema.parseJson(
  Schema.Struct({
    base_model: Schema.String,
    rank: Schema.Int,
    lora_alpha: Schema.Number,
    seed: Schema.Number,
    train_attn: Schema.Boolean,
    train_mlp: Schema.Boolean,
    train_unembed: Schema.Boolean,
    step: Schema.Int,
    created_at: Schema.Date,
    expires_at: Schema.NullOr(Schema.Date),
    public: defaulted(Schema.Boolean, () => false),
    user_metadata: Schema.Record({ key: Schema.String, value: Schema.String }),
    saved_by: Schema.optional(Schema.String),
    owner: Schema.optional(Schema.String),
    encrypted: Schema.optional(Schema.Boolean),
    /** The SHA-256 sums of the files beside it, by their names. Checkpoints of earlier versions and of others have none. */
    sha256: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
  }),
  { space: 2 }
)

export interface Decoded {
  readonly info: Omit<Info, "sizeBytes">
  /** None of checkpoints of earlier versions and of others. */
  readonly sha256: Sums | undefined
}

export const decode = (
  path: TinkerPath.TinkerPath,
  text: string
): Effect.Effect<Decoded, ParseResult.ParseError> =>
  Effect.map(Schema.decode(Meta)(text), (meta) => ({
    info: {
      path,
      baseModel: meta.base_model,
      lora: {
        rank: meta.rank,
        seed: meta.seed,
        trainAttn: meta.train_attn,
        trainMlp: meta.train_mlp,
        trainUnembed: meta.train_unembed
      },
      step: meta.step,
      createdAt: meta.created_at.getTime(),
      expiresAt: meta.expires_at?.getTime(),
      public: meta.public,
      userMetadata: meta.user_metadata,
      savedBy: meta.saved_by,
      owner: meta.owner,
      encrypted: meta.encrypted
    },
    sha256: meta.sha256
  }))

export const encode = (
  info: Omit<Info, "sizeBytes">,
  sha256: Sums | undefined
): Uint8Array =>
  new TextEncoder().encode(
    Schema.encodeSync(Meta)({
      base_model: info.baseModel,
      rank: info.lora.rank,
      lora_alpha: loraAlpha,
      seed: info.lora.seed,
      train_attn: info.lora.trainAttn,
      train_mlp: info.lora.trainMlp,
      train_unembed: info.lora.trainUnembed,
      step: info.step,
      created_at: new Date(info.createdAt),
      expires_at: info.expiresAt === undefined ? null : new Date(info.expiresAt),
      public: info.public,
      user_metadata: info.userMetadata,
      saved_by: info.savedBy,
      owner: info.owner,
      encrypted: info.encrypted,
      sha256
    })
  )
