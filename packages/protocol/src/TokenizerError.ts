/**
 * Why there is no tokenizer.
 */
import * as Schema from "effect/Schema"

/**
 * - `FolderMissing`: no such folder
 * - `FileMissing`: the folder has neither `tokenizer.json` nor `tiktoken.model`
 * - `Unreadable`: the file system refused to read a file
 * - `Malformed`: a file is no JSON, or not of the shape its name promises
 * - `DownloadFailed`: the Hugging Face Hub did not give a file
 * - `Unsupported`: a sound file with a part that is not implemented here, or a tokenizer that its makers keep to themselves
 *
 * @since 0.1.0
 * @category errors
 */
export class TokenizerError
  extends Schema.TaggedError<TokenizerError>("@effect-tinker/protocol/TokenizerError")("TokenizerError", {
    reason: Schema.Literal("FolderMissing", "FileMissing", "Unreadable", "Malformed", "DownloadFailed", "Unsupported"),
    /** The folder or file that is to blame. */
    path: Schema.String,
    description: Schema.String,
    cause: Schema.optional(Schema.Defect)
  })
{
  override get message() {
    return `${this.path}: ${this.description}`
  }
}
