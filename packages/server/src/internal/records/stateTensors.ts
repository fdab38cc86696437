/** Tensors of the files in which a server keeps live state. */
import * as Safetensors from "@effect-tinker/engine/Safetensors"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { ServerError } from "../../ServerError.js"
import type { Service as Journal, StateFile } from "../../ServerJournal.js"
import * as Eithers from "../effect/eithers.js"

/** Fails with `DamagedFile` when the file is not as it was written. */
export const read = (
  journal: Journal,
  file: StateFile
): Effect.Effect<Map<string, Safetensors.RawTensor>, ServerError> =>
  Effect.flatMap(
    journal.readState(file),
    (bytes) => Eithers.toEffect(Either.mapLeft(Safetensors.decode(bytes), damaged(file)))
  )

const damaged = ({ name }: StateFile) => (cause: Safetensors.SafetensorsError) =>
  new ServerError({ reason: "DamagedFile", description: `the state ${name}: ${cause.message}`, cause })
