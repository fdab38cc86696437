/**
 * Listings of which a number of entries is wanted, page by page.
 */
import * as Effect from "effect/Effect"
import * as Output from "./Output.js"

/**
 * A page of a listing; `total` is how many entries there are on all pages, where the server tells.
 *
 * @since 0.1.0
 * @category models
 */
export interface Page<A> {
  readonly entries: ReadonlyArray<A>
  readonly total: number | undefined
}

/**
 * How many requests for pages are under way at once.
 *
 * @since 0.1.0
 * @category config
 */
export const concurrency = 4

/**
 * The first `limit` entries behind `offset`, or all of them if `limit` is 0, and how many there are. Entries that come to stand on two
 * pages, as when others are made meanwhile, are taken once.
 *
 * @since 0.1.0
 * @category utils
 */
export const collect = <A, E, R>(options: {
  readonly limit: number
  readonly offset: number
  readonly pageSize: number
  /** What the entries are, in the plural, for the line that says how far it is. */
  readonly nouns: string
  readonly idOf: (entry: A) => string
  readonly page: (place: { readonly limit: number; readonly offset: number }) => Effect.Effect<Page<A>, E, R>
}): Effect.Effect<{ readonly entries: ReadonlyArray<A>; readonly total: number }, E, R | Output.Output> =>
  Effect.gen(function*() {
    const { idOf, limit, nouns, offset, pageSize } = options
    const output = yield* Output.Output
    const first = yield* options.page({ offset, limit: limit > 0 ? Math.min(pageSize, limit) : pageSize })
    const total = first.total ?? offset + first.entries.length
    const wanted = Math.min(limit > 0 ? limit : Infinity, Math.max(0, total - offset))
    const entries = new Map(first.entries.map((entry) => [idOf(entry), entry]))
    let at = first.entries.length
    while (at > 0 && at < wanted) {
      const before = entries.size
      const places: Array<{ readonly offset: number; readonly limit: number }> = []
      for (; at < wanted && places.length < concurrency; at += pageSize) {
        places.push({ offset: offset + at, limit: Math.min(pageSize, wanted - at) })
      }
      for (const page of yield* Effect.forEach(places, options.page, { concurrency })) {
        for (const entry of page.entries) if (!entries.has(idOf(entry))) entries.set(idOf(entry), entry)
      }
      yield* output.progress(`Fetching ${nouns}: ${entries.size}/${wanted}`)
      // A server that gives the same again would be asked without end.
      if (entries.size === before) break
    }
    yield* output.progress("")
    if (entries.size < wanted) {
      yield* output.warning(`the service says that there are ${wanted} ${nouns}, and gave ${entries.size}.`)
    }
    return { entries: Array.from(entries.values()), total }
  })
