/** How large bodies in JSON may be that are mostly lists of numbers, and which lists are lifted out of them. */
import type { Bounds } from "../http/http.js"

/** A request has up to sixty parts for each datum, in protobuf half of that, and a thousand data. */
export const trainingParts = 2 ** 16

/** Nearly nothing beside its numbers, if it has no images. */
const textBytes = 2 ** 23

export const trainingBounds: Bounds = {
  parts: trainingParts,
  text: textBytes,
  lift: [
    { key: "tokens", as: "short" },
    ...["data", "sparse_crow_indices", "sparse_col_indices"].map((key) => ({ key, as: "wide" } as const))
  ]
}

/** A prompt may be of thousands of texts. Tensors of samples are read by the client's own schema. */
export const sampleBounds: Bounds = {
  parts: 2 ** 15,
  text: textBytes,
  lift: [{ key: "tokens", as: "short" }, { key: "data", as: "array" }]
}
