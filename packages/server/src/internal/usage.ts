/** Counts the tokens that requests have used, by the hour, session and base model. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

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

export interface Usage {
  /** Of a request that has succeeded. */
  readonly add: (kind: TokenKind, tokens: number, of: Pick<Count, "sessionId" | "baseModel">) => Effect.Effect<void>
  /** Of the hours from one on and before another, in the order in which they were first used. */
  readonly counts: (from: number, before: number) => ReadonlyArray<Count>
  readonly totals: ReadonlyMap<TokenKind, number>
}

export const hourMillis = 3_600_000

export const hourOf = (millis: number): number => Math.floor(millis / hourMillis) * hourMillis

export const make = (): Usage => {
  const counts = new Map<string, Count>()
  const totals = new Map<TokenKind, number>()
  return {
    add: (kind, tokens, { baseModel, sessionId }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const hour = hourOf(now)
        const key = `${hour} ${kind} ${sessionId} ${baseModel}`
        const count = counts.get(key)
        if (count === undefined) counts.set(key, { hour, kind, sessionId, baseModel, tokens })
        else count.tokens += tokens
        totals.set(kind, (totals.get(kind) ?? 0) + tokens)
      }),
    counts: (from, before) => Array.from(counts.values()).filter(({ hour }) => hour >= from && hour < before),
    totals
  }
}
