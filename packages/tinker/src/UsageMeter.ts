/**
 * Counts the tokens that a region of code uses, by the kinds in which they are billed, and holds it to a budget.
 *
 * Tokens count when their request has succeeded, once, however often it was sent. A budget reserves the most that a call may
 * use before it is sent, and refuses it when that does not fit; so calls at the same time never exceed it together.
 */
import { isObject } from "@effect-tinker/protocol/CallOptions"
import { argumentIssues, type Check, fitting, must, object, optional, optionsOf } from "@effect-tinker/protocol/Checks"
import { BudgetExceededError, invalidInput, type InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Stream from "effect/Stream"
import * as Given from "./internal/given.js"
import * as StateCell from "./internal/stateCell.js"
import type { TokenKind } from "./TinkerMetrics.js"

/**
 * Tokens by kind:
 *
 * - `training`: of the data of `forward` and `forwardBackward`; a custom loss makes a pass of each
 * - `prefill`: of prompts of samples, once a call however many answers it asks for
 * - `cachedPrefill`: the same, where the server had them at hand
 * - `sampled`: of answers
 *
 * @since 0.1.0
 * @category models
 */
export type Usage = Readonly<Record<TokenKind, number>>

/**
 * @since 0.1.0
 * @category constructors
 */
export const none: Usage = { training: 0, prefill: 0, cachedPrefill: 0, sampled: 0 }

/**
 * US dollars for a million tokens of a kind.
 *
 * @since 0.1.0
 * @category models
 */
export interface Prices {
  readonly training: number
  readonly prefill: number
  /** Default: as `prefill`. */
  readonly cachedPrefill?: number | undefined
  readonly sampled: number
}

/**
 * Most tokens of all kinds together, or most US dollars, which needs prices.
 *
 * @since 0.1.0
 * @category models
 */
export type Budget = { readonly tokens: number } | { readonly usd: number }

/**
 * @since 0.1.0
 * @category models
 */
export interface Snapshot {
  /** The use of requests that have succeeded. */
  readonly used: Usage
  /** The most that calls which are under way may use. */
  readonly reserved: Usage
  /** The most that calls may have used whose end is not known, as they were interrupted or lost. Budgets count them. */
  readonly uncertain: Usage
  /** The cost of `used`, in US dollars. Absent without prices. */
  readonly cost: number | undefined
  /** What is left of the budget, in its unit. Absent without one. */
  readonly left: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface UsageMeter {
  readonly snapshot: Effect.Effect<Snapshot>
  /** The present figures and those that follow. */
  readonly changes: Stream.Stream<Snapshot>
  /** Sets aside the most that a call may use; a kind may be infinite. For clients, before they send anything. */
  readonly reserve: (operation: string, most: Usage) => Effect.Effect<Reservation, BudgetExceededError>
}

/**
 * Ends with the first call of one of these.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reservation {
  /** The request has succeeded. */
  readonly settle: (used: Usage) => void
  /** It has failed, or was never sent. */
  readonly release: () => void
  /** Nobody knows. */
  readonly lose: () => void
}

/**
 * Fails with `InvalidInputError` for a negative price or budget, and for a budget in money without prices.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly prices?: Prices | undefined
  readonly budget?: Budget | undefined
} = {}): Effect.Effect<UsageMeter, InvalidInputError> =>
  Effect.suspend(() => {
    const found = argumentIssues([options], { options: optionsCheck })
    return found.length > 0 ? invalidInput("UsageMeter.make", found) : Effect.succeed(makeMeter(options))
  })

const makeMeter = ({ budget, prices }: {
  readonly prices?: Prices | undefined
  readonly budget?: Budget | undefined
}): UsageMeter => {
  const allPrices = prices && { ...prices, cachedPrefill: prices.cachedPrefill ?? prices.prefill }
  const limit = budget === undefined
    ? undefined
    : "usd" in budget
    ? { unit: "USD" as const, amount: budget.usd }
    : { unit: "tokens" as const, amount: budget.tokens }
  const used = { ...none }
  const reserved = { ...none }
  const uncertain = { ...none }

  /** The amount of a use in the unit of the budget. */
  const amountOf = (usage: Usage): number =>
    limit?.unit === "USD" && allPrices !== undefined ? priceOf(usage, allPrices) : totalOf(usage)

  const left = (): number | undefined => limit && Math.max(0, limit.amount - amountOf(sumOf(used, reserved, uncertain)))

  const snapshot = (): Snapshot => ({
    used: { ...used },
    reserved: { ...reserved },
    uncertain: { ...uncertain },
    cost: allPrices && priceOf(used, allPrices),
    left: left()
  })
  // What changed is read when somebody listens, so that counting makes no object.
  const ticks = StateCell.make<void>(undefined, () => false)
  const changed = () => ticks.set(undefined)

  const reserve: UsageMeter["reserve"] = (operation, most) =>
    Effect.suspend(() => {
      if (limit !== undefined) {
        // A prompt of which nothing is cached, when that costs more, and one that is cached whole otherwise.
        const dearest = { ...most, cachedPrefill: 0 }
        if (allPrices !== undefined && allPrices.cachedPrefill > allPrices.prefill) {
          dearest.cachedPrefill = most.prefill
          dearest.prefill = 0
        }
        const asked = amountOf(dearest)
        const after = amountOf(sumOf(used, reserved, uncertain, dearest))
        // Sums of money are not exact.
        if (!(after <= limit.amount * (1 + 1e-12))) {
          return new BudgetExceededError({
            operation,
            unit: limit.unit,
            budget: limit.amount,
            left: left()!,
            ...(Number.isFinite(asked) ? { asked } : {})
          })
        }
        return Effect.succeed(hold(dearest))
      }
      return Effect.succeed(hold(finiteOf(most)))
    })

  const hold = (most: Usage): Reservation => {
    let isOpen = true
    const end = (to: Record<TokenKind, number> | undefined, usage: Usage) => {
      if (!isOpen) return
      isOpen = false
      add(reserved, most, -1)
      if (to !== undefined) add(to, usage, 1)
      changed()
    }
    add(reserved, most, 1)
    changed()
    return {
      settle: (usage) => end(used, usage),
      release: () => end(undefined, none),
      lose: () => end(uncertain, most)
    }
  }

  return { snapshot: Effect.sync(snapshot), changes: Stream.map(ticks.changes, snapshot), reserve }
}

/**
 * The meters of a region of code, the outer ones first. Each counts everything inside it.
 *
 * @internal
 */
export class CurrentMeters extends Context.Reference<CurrentMeters>()("effect-tinker/UsageMeter/CurrentMeters", {
  defaultValue: (): ReadonlyArray<UsageMeter> => []
}) {}

/**
 * Counts the calls that a region of code makes, also with meters around it.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withMeter: {
  (meter: UsageMeter): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(effect: Effect.Effect<A, E, R>, meter: UsageMeter): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(effect: Effect.Effect<A, E, R>, meter: UsageMeter): Effect.Effect<A, E, R> =>
    Given.around(
      "UsageMeter.withMeter",
      [effect, meter],
      { effect: Given.effect, meter: meterCheck },
      () =>
        Effect.flatMap(
          CurrentMeters,
          (meters) => meters.includes(meter) ? effect : Effect.provideService(effect, CurrentMeters, [...meters, meter])
        )
    )
)

const meterCheck = fitting(
  (value) => isObject(value) && typeof value["reserve"] === "function",
  "pass a meter, as UsageMeter.make gives one"
)

/**
 * The cost of a use, in US dollars. Nothing is refused here: the cost is `NaN` when a price or a number of tokens is none, or negative,
 * and never less than it should be.
 *
 * @since 0.1.0
 * @category utils
 */
export const costOf = (usage: Usage, prices: Prices): number =>
  kinds.every((kind) => usage[kind] >= 0 && rateOf(kind, prices) >= 0) ? priceOf(usage, prices) : NaN

const priceOf = (usage: Usage, prices: Prices): number => {
  let millionths = 0
  for (const kind of kinds) {
    const price = rateOf(kind, prices)
    // Tokens without number at no price are free.
    if (usage[kind] > 0 && price > 0) millionths += usage[kind] * price
  }
  return millionths / 1e6
}

const rateOf = (kind: TokenKind, prices: Prices): number =>
  kind === "cachedPrefill" ? prices.cachedPrefill ?? prices.prefill : prices[kind]

const kinds = ["training", "prefill", "cachedPrefill", "sampled"] as const

const totalOf = (usage: Usage): number => usage.training + usage.prefill + usage.cachedPrefill + usage.sampled

const add = (to: Record<TokenKind, number>, usage: Usage, sign: 1 | -1): void => {
  for (const kind of kinds) to[kind] += sign * usage[kind]
}

const sumOf = (...usages: ReadonlyArray<Usage>): Usage => {
  const sum = { ...none }
  for (const usage of usages) add(sum, usage, 1)
  return sum
}

/** What nothing bounds cannot be set aside; without a budget nothing has to be. */
const finiteOf = (usage: Usage): Usage => {
  const finite = { ...usage }
  for (const kind of kinds) if (!Number.isFinite(finite[kind])) finite[kind] = 0
  return finite
}

const amount = must(
  (value) => typeof value === "number" && value >= 0 && value < Infinity,
  "a number from 0 on"
)

const budgetCheck: Check = (value, field) =>
  isObject(value) && "usd" in value
    ? object({ usd: amount }, "budget")(value, field)
    : object({ tokens: amount }, "budget")(value, field)

const fields = optionsOf({
  prices: optional(
    object({ training: amount, prefill: amount, cachedPrefill: optional(amount), sampled: amount }, "kind of tokens")
  ),
  budget: optional(budgetCheck)
})

const optionsCheck: Check = (value, field) => [
  ...optional(fields)(value, field),
  ...(isObject(value) && isObject(value["budget"]) && "usd" in value["budget"] && value["prices"] === undefined
    ? [{ field: "prices", description: "are missing; a budget in money needs them." }]
    : [])
]
