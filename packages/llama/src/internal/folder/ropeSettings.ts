/** How a configuration says that positions are rotated. */
import type * as Llama from "../../Llama.js"
import { type Fields, isFields, reader } from "./configFields.js"
import { unsupported } from "./unsupported.js"

/**
 * The base of the rotation and its scaling. Newer files keep all of it in `rope_parameters`, for all layers together or for each type of layer; older ones the
 * scaling in `rope_scaling`, which transformers prefers where both are given.
 */
export const rope = (file: string, config: Fields): Pick<Llama.Config, "ropeTheta" | "ropeScaling"> => {
  const newer = rotations(`${file}: rope_parameters`, config["rope_parameters"])
  const older = rotations(`${file}: rope_scaling`, config["rope_scaling"])
  const [first, ...others] = older.length > 0 ? older : newer
  for (const { place, scaling } of others) {
    if (JSON.stringify(scaling) !== JSON.stringify(first?.scaling)) {
      throw unsupported(`${place} is not scaled as ${first?.place}, and one scaling for all layers is supported`)
    }
  }
  const given = [config["rope_theta"], ...[...newer, ...older].map(({ theta }) => theta)]
  const thetas = new Set(given.map((theta) => theta ?? undefined).filter((theta) => theta !== undefined))
  const [theta = 10_000] = thetas
  if (thetas.size < 2 && typeof theta === "number" && Number.isFinite(theta) && theta > 0) {
    return { ropeTheta: theta, ...(first?.scaling && { ropeScaling: first.scaling }) }
  }
  throw unsupported(`${file}: rope_theta is ${Array.from(thetas, (theta) => JSON.stringify(theta)).join(" and ")}`)
}

interface Rotation {
  /** The file and the field that the settings are from. */
  readonly place: string
  readonly theta: unknown
  readonly scaling: Llama.RopeScaling | undefined
}

/** What the value of a field says: once, or for each type of layer; nothing if it is absent or empty. */
const rotations = (place: string, value: unknown): ReadonlyArray<Rotation> => {
  if (value === undefined || value === null) return []
  if (!isFields(value)) throw unsupported(`${place} ${JSON.stringify(value)} is not supported`)
  const isOfLayers = ([key, inner]: [string, unknown]) => isFields(inner) || key.endsWith("_attention")
  const entries = Object.entries(value)
  const ofAll = entries.filter((entry) => !isOfLayers(entry))
  return [
    ...(ofAll.length > 0 ? [rotation(place, Object.fromEntries(ofAll))] : []),
    ...entries.filter(isOfLayers).map(([key, inner]) => {
      // Layers of a type that has none are not rotated.
      if (!isFields(inner)) throw unsupported(`${place}.${key} ${JSON.stringify(inner)} is not supported`)
      return rotation(`${place}.${key}`, inner)
    })
  ]
}

const rotation = (place: string, values: Fields): Rotation => {
  reader(place, values).must("partial_rotary_factor", [1, undefined])
  const type = values["rope_type"] ?? values["type"] ?? undefined
  const theta = values["rope_theta"]
  if (type === "llama3") return { place, theta, scaling: llama3(place, values) }
  const isGiven = (key: string) => (values[key] ?? undefined) !== undefined
  const other = Object.keys(values).find((key) =>
    !["rope_theta", "partial_rotary_factor"].includes(key) && isGiven(key)
  )
  // Some readers take it for a scaling, and others for none.
  if (type === undefined && other !== undefined) throw unsupported(`${place} has ${other} and no rope_type`)
  if (type === undefined || type === "default" || (type === "linear" && values["factor"] === 1)) {
    return { place, theta, scaling: undefined }
  }
  throw unsupported(`${place} of type ${JSON.stringify(type)} is not supported`)
}

const llama3 = (place: string, values: Fields): Llama.RopeScaling => {
  const fields = reader(place, values)
  const lowFrequencyFactor = fields.number("low_freq_factor")
  const highFrequencyFactor = fields.number("high_freq_factor")
  if (lowFrequencyFactor >= highFrequencyFactor) {
    throw unsupported(`${place}: low_freq_factor ${lowFrequencyFactor} is not below ${highFrequencyFactor}`)
  }
  return {
    factor: fields.number("factor"),
    lowFrequencyFactor,
    highFrequencyFactor,
    originalContextLength: fields.count("original_max_position_embeddings")
  }
}
