/** The refusal of a folder: its model cannot be read, or cannot be computed exactly. */
import { EngineError } from "@effect-tinker/engine/Engine"

export const unsupported = (description: string, cause?: unknown): EngineError =>
  new EngineError({ reason: "UnsupportedModel", description, ...(cause === undefined ? {} : { cause }) })
