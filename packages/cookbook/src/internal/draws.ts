import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Batch, BatchesOptions } from "../Supervised.js"
import { shuffledPlaces } from "./shuffled.js"

/** Says which data a batch has, by their places, and where it stands in the run. */
export interface Draw extends Pick<Batch, "batching" | "step" | "totalSteps" | "epoch"> {
  readonly places: Uint32Array
}

/** How a run draws its batches from so many data: each epoch has every one once, in an order of its own. */
export const drawn = (
  length: number,
  { batchSize, epochs = 1, seed = 0, steps }: BatchesOptions
): { readonly draws: Stream.Stream<Draw>; readonly needed: () => Uint32Array } => {
  const perEpoch = Math.ceil(length / batchSize)
  const totalSteps = steps ?? perEpoch * epochs
  const batching = { batchSize, seed, steps: totalSteps }
  const orderOf = (epoch: number): Uint32Array => shuffledPlaces(length, [seed, epoch])
  return {
    draws: Stream.suspend(() => {
      let order: { readonly epoch: number; readonly places: Uint32Array } = { epoch: -1, places: new Uint32Array(0) }
      return Stream.unfold(0, (step) => {
        if (step >= totalSteps) return Option.none()
        const epoch = Math.floor(step / perEpoch)
        if (order.epoch !== epoch) order = { epoch, places: orderOf(epoch) }
        const from = (step - epoch * perEpoch) * batchSize
        const places = order.places.subarray(from, from + batchSize)
        return Option.some([{ places, batching, step, totalSteps, epoch }, step + 1])
      })
    }),
    // Not more of the first epoch than there are steps.
    needed: () => orderOf(0).slice(0, totalSteps * batchSize).sort()
  }
}
