/**
 * What can go wrong with the files and names of a server. What computes has an error of its own, `EngineError`.
 */
import * as Schema from "effect/Schema"

/**
 * Why a file or a checkpoint could not be used:
 *
 * - `InvalidName`: a name that is no checkpoint name
 * - `Exists`: a checkpoint of this name is there already
 * - `NotFound`: no such checkpoint
 * - `DamagedFile`: a file that is not what its name says
 * - `Encrypted`: a checkpoint that only the holders of its keys can read
 * - `FileSystem`: the disk refused
 *
 * @since 0.1.0
 * @category errors
 */
export class ServerError extends Schema.TaggedError<ServerError>("@effect-tinker/server/ServerError")("ServerError", {
  reason: Schema.Literal("InvalidName", "Exists", "NotFound", "DamagedFile", "Encrypted", "FileSystem"),
  description: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message() {
    return this.description
  }
}
