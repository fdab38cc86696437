/**
 * Hashes of downloads, computed by Node, several times as fast as by the SDK itself.
 */
import * as CheckpointDownload from "effect-tinker/CheckpointDownload"
import * as Layer from "effect/Layer"
import { createHash, getFips } from "node:crypto"

/**
 * Provides hashes by Node to downloads.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<CheckpointDownload.Hashing> = Layer.succeed(CheckpointDownload.Hashing, {
  makeHasher: (algorithm) => {
    // Where rules forbid MD5, Node has none.
    if (algorithm === "crc32c" || !available.has(algorithm)) return undefined
    const hash = createHash(names[algorithm])
    return {
      update: (bytes) => void hash.update(bytes),
      digest: () => hash.digest()
    }
  }
})

const names = { "sha-256": "sha256", md5: "md5" } as const
const available: ReadonlySet<string> = new Set(getFips() === 1 ? ["sha-256"] : ["sha-256", "md5"])
