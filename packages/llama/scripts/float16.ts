/** The safetensors file of a model in half precision. */
import { Safetensors } from "@effect-tinker/engine"

/** A safetensors file of half-precision tensors. */
export const encodeFloat16 = (
  tensors: Iterable<readonly [name: string, shape: ReadonlyArray<number>, data: Float32Array]>
): Uint8Array => {
  const parts = Array.from(tensors, ([name, shape, data]) => ({
    name,
    shape,
    bytes: Safetensors.fromFloat32(data, "F16")
  }))
  const header = Safetensors.encodeHeader(
    new Map(parts.map(({ bytes, name, shape }) => [name, { dtype: "F16", shape, byteLength: bytes.length }])),
    { format: "pt" }
  )
  return Buffer.concat([header, ...parts.map(({ bytes }) => bytes)])
}
