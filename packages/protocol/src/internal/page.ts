/** Which page of a listing is wanted. */
import * as Schema from "effect/Schema"

const whole = (least: number) =>
  Schema.NumberFromString.pipe(
    Schema.filter((value) => Number.isSafeInteger(value) && value >= least || `must be a whole number from ${least}`)
  )

/** Fields of a query; `limit` is what a server gives those who do not say. */
export const page = (limit: number) => ({
  limit: Schema.optionalWith(whole(1), { default: () => limit }),
  offset: Schema.optionalWith(whole(0), { default: () => 0 })
})
