/** Fields of a configuration file: what is missing or not supported is refused by the file and the field. */
import { unsupported } from "./unsupported.js"

export type Fields = Readonly<Record<string, unknown>>

export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** What reads the fields of a file, each with what is allowed of it. */
export const reader = (file: string, config: Fields) => {
  const number = (field: string, absent?: number): number => {
    const value = config[field] ?? absent
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value
    throw unsupported(`${file}: ${field} is ${value === undefined ? "missing" : JSON.stringify(value)}`)
  }
  return {
    number,
    count: (field: string, { absent, most = Number.MAX_SAFE_INTEGER }: CountOptions = {}): number => {
      const value = number(field, absent)
      if (!Number.isInteger(value)) throw unsupported(`${file}: ${field} is ${value}, which is no whole number`)
      if (value > most) throw unsupported(`${file}: ${field} is ${value}, and at most ${most} is supported`)
      return value
    },
    must: (field: string, allowed: ReadonlyArray<unknown>): void => {
      const value = config[field] ?? undefined
      if (!allowed.includes(value)) throw unsupported(`${file}: ${field} ${JSON.stringify(value)} is not supported`)
    }
  }
}

interface CountOptions {
  /** What a field that is missing stands for. */
  readonly absent?: number | undefined
  readonly most?: number | undefined
}
