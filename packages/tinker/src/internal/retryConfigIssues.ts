import type { RetryConfig } from "../SamplingClient.js"
import type { Issue } from "../TinkerError.js"

/** What cannot be right in the settings of a sampling client. */
export const retryConfigIssues = (config: RetryConfig | undefined): ReadonlyArray<Issue> =>
  Object.entries(config ?? {}).flatMap(([name, value]): ReadonlyArray<Issue> => {
    const rule = rules.get(name)
    const field = `retryConfig.${name}`
    if (rule === undefined) {
      return [{ field, description: `is no setting. There are ${Array.from(rules.keys()).join(", ")}.` }]
    }
    const [fits, be] = rule
    return value === undefined || fits(value) ? [] : [{ field, description: `must be ${be}.` }]
  })

type Rule = readonly [fits: (value: unknown) => boolean, be: string]

const atLeast = (least: number, be: string): Rule => [(value) => typeof value === "number" && value >= least, be]
const flag: Rule = [(value) => typeof value === "boolean", "true or false"]
const count: Rule = [(value) => Number.isInteger(value) && Number(value) >= 1, "a whole number, 1 or more"]

const rules: ReadonlyMap<string, Rule> = new Map(Object.entries<Rule>(
  {
    maxConnections: [(value) => value === null || count[0](value), `${count[1]}, or null`],
    progressTimeout: atLeast(1, "a number of milliseconds, 1 or more"),
    retryDelayBase: atLeast(0, "a number of milliseconds, 0 or more"),
    retryDelayMax: atLeast(0, "a number of milliseconds, 0 or more"),
    jitterFactor: [(value) => typeof value === "number" && value >= 0 && value <= 1, "a share from 0 to 1"],
    maxAttempts: count,
    enableRetryLogic: flag,
    enableStuckDetection: flag
  } satisfies Record<keyof RetryConfig, Rule>
))
