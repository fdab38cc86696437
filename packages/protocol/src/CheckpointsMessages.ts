/**
 * Messages of checkpoints that exist: listing them, changing what holds for them, and where their files are.
 */
import * as Schema from "effect/Schema"
import { Checkpoint } from "./Checkpoint.js"
import { Cursor } from "./Cursor.js"
import { field, nullable, nullish, optional } from "./WireField.js"
import { Time } from "./WireTime.js"

/**
 * A page of checkpoints, without a cursor when everything is on it.
 *
 * @since 0.1.0
 * @category schemas
 */
export const CheckpointsListResponse = Schema.Struct({
  checkpoints: Schema.Array(Checkpoint),
  cursor: nullable(Cursor)
})

/**
 * @since 0.1.0
 * @category models
 */
export type CheckpointsListResponse = typeof CheckpointsListResponse.Type

/**
 * Null is sent: it takes the end away.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SetTtlRequest = Schema.Struct({ ttlSeconds: field(Schema.NullOr(Schema.Int), "ttl_seconds") })

/**
 * @since 0.1.0
 * @category schemas
 */
export const CopyWeightsRequest = Schema.Struct({
  sourcePath: field(Schema.String, "source_path"),
  destinationProjectId: optional(Schema.String, "destination_project_id"),
  ttlSeconds: optional(Schema.Int, "ttl_seconds")
})

/**
 * @since 0.1.0
 * @category models
 */
export type CopyWeightsRequest = typeof CopyWeightsRequest.Type

/**
 * The copy belongs to a training run of its own, which cannot be trained.
 *
 * @since 0.1.0
 * @category schemas
 */
export const CopyWeightsResponse = Schema.Struct({ tinkerPath: field(Schema.String, "tinker_path") })

/**
 * @since 0.1.0
 * @category models
 */
export type CopyWeightsResponse = typeof CopyWeightsResponse.Type

const SignedUrl = Schema.Redacted(Schema.String)

/**
 * Addresses by the files' relative paths. Whoever has an address has the file, so they are kept out of logs.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ExternalWeightsUrls = Schema.Struct({
  urls: Schema.Record({ key: Schema.String, value: SignedUrl }),
  /** The time until which the addresses are valid. */
  expires: Time
})

/**
 * @since 0.1.0
 * @category models
 */
export type ExternalWeightsUrls = typeof ExternalWeightsUrls.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const ArchiveUrl = Schema.Struct({
  url: SignedUrl,
  /** The time until which the address is valid. */
  expires: Time
})

/**
 * @since 0.1.0
 * @category models
 */
export type ArchiveUrl = typeof ArchiveUrl.Type

/**
 * Where an archive is; servers may leave out until when that is valid.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ArchiveAnswer = Schema.Struct({ url: SignedUrl, expires: nullish(Time) })
