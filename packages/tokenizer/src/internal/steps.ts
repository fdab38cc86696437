/** A computation in parts: it stops for a moment wherever it yields, and whoever runs it may do something else meanwhile. */
export type Steps<A> = Generator<undefined, A, undefined>

/** The result, without a stop. */
export const withoutStops = <A>(steps: Steps<A>): A => {
  for (;;) {
    const next = steps.next()
    if (next.done === true) return next.value
  }
}
