import { isId } from "../CheckpointRef.js"
import type { Issue } from "../TinkerError.js"
import { kindOf, notOne } from "./callOptions.js"

/** Whether a value fits, and what it must be, as the end of a sentence. */
export interface Rule {
  readonly fits: (value: unknown) => boolean
  readonly must: string
}

/** Every field of a value that has no rule, which is most often a misspelt one, and then everything that its rules refuse. */
export const checkFields = (value: object, rules: Readonly<Record<string, Rule>>): ReadonlyArray<Issue> => {
  const issues: Array<Issue> = []
  const fields = value as Readonly<Record<string, unknown>>
  for (const field of Object.keys(value)) {
    if (!Object.hasOwn(rules, field)) {
      issues.push({ field, description: notOne("parameter", field, Object.keys(rules)) })
    }
  }
  for (const field in rules) {
    const given = fields[field]
    const rule = rules[field]!
    if (!rule.fits(given)) issues.push({ field, description: `is ${kindOf(given)}; it must be ${rule.must}.` })
  }
  return issues
}

const isNumber = (value: unknown): value is number => typeof value === "number"

export const notNegative: Rule = {
  fits: (value) => isNumber(value) && value >= 0 && value < Infinity,
  must: "a finite number, 0 or more"
}

export const positive: Rule = {
  fits: (value) => isNumber(value) && value > 0 && value < Infinity,
  must: "a finite number, more than 0"
}

/** Of a moving average. */
export const decay: Rule = {
  fits: (value) => isNumber(value) && value >= 0 && value < 1,
  must: "0 or more and less than 1"
}

export const share: Rule = {
  fits: (value) => isNumber(value) && value > 0 && value <= 1,
  must: "more than 0 and at most 1"
}

export const wholeFrom = (least: number): Rule => ({
  fits: (value) => Number.isSafeInteger(value) && (value as number) >= least,
  must: `a whole number, ${least} or more`
})

export const whole: Rule = {
  fits: Number.isSafeInteger,
  must: `a whole number from ${Number.MIN_SAFE_INTEGER} to ${Number.MAX_SAFE_INTEGER}, as larger ones are not exact`
}

export const flag: Rule = { fits: (value) => typeof value === "boolean", must: "true or false" }

/** Stands in an address as it is. */
export const id: Rule = {
  fits: (value) => typeof value === "string" && isId(value),
  must: "an id, which has no space, %, ?, # or slash"
}

export const text: Rule = { fits: (value) => typeof value === "string" && value !== "", must: "a text, not empty" }

export const oneOf = (...values: ReadonlyArray<string>): Rule => ({
  fits: (value) => values.some((one) => one === value),
  must: `one of ${values.join(", ")}`
})

export const wholeWithin = (least: number, most: number): Rule => ({
  fits: (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
  must: `a whole number from ${least} to ${most}`
})

export const optional = (rule: Rule): Rule => ({ ...rule, fits: (value) => value === undefined || rule.fits(value) })
