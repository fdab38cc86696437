/** Counts the tokens that requests have used, by the hour, session and base model. */

/** Names of the wire. */
export type TokenKind = "training" | "sampling_prefill" | "sampling_sample"

export interface Count {
  /** Milliseconds since the epoch, of a whole hour in UTC. */
  readonly hour: number
  readonly kind: TokenKind
  readonly sessionId: string
  readonly baseModel: string
  tokens: number
}

export type Used = readonly [kind: TokenKind, tokens: number]

export interface Usage {
  /** What a request that has succeeded has used, at a time in milliseconds. Gives the counts as they are now. */
  readonly add: (
    used: ReadonlyArray<Used>,
    of: Pick<Count, "sessionId" | "baseModel"> & { readonly at: number }
  ) => ReadonlyArray<Count>
  /** The counts of the hours from one on and before another, in the order in which they were first used. */
  readonly counts: (from: number, before: number) => ReadonlyArray<Count>
  readonly totals: ReadonlyMap<TokenKind, number>
}

export const hourMillis = 3_600_000

export const hourOf = (millis: number): number => Math.floor(millis / hourMillis) * hourMillis

/** `restored` are counts of an earlier server. */
export const make = (restored: ReadonlyArray<Count>): Usage => {
  const counts = new Map<string, Count>()
  const totals = new Map<TokenKind, number>()
  const keyOf = ({ baseModel, hour, kind, sessionId }: Omit<Count, "tokens">) =>
    `${hour} ${kind} ${sessionId} ${baseModel}`
  for (const count of restored) {
    counts.set(keyOf(count), { ...count })
    totals.set(count.kind, (totals.get(count.kind) ?? 0) + count.tokens)
  }
  return {
    add: (used, { at, baseModel, sessionId }) =>
      used.map(([kind, tokens]) => {
        const fresh: Count = { hour: hourOf(at), kind, sessionId, baseModel, tokens: 0 }
        const key = keyOf(fresh)
        const count = counts.get(key) ?? fresh
        if (count === fresh) counts.set(key, count)
        count.tokens += tokens
        totals.set(kind, (totals.get(kind) ?? 0) + tokens)
        return { ...count }
      }),
    counts: (from, before) => Array.from(counts.values()).filter(({ hour }) => hour >= from && hour < before),
    totals
  }
}
