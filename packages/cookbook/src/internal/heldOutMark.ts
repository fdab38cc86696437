import * as Predicate from "effect/Predicate"
import type * as ChatLine from "./chatLine.js"
import { plain } from "./plainKey.js"

type Metadata = Readonly<Record<string, unknown>>

/** Where a line says that it is for tests, also one object deeper, as in `extra_info`; nothing if it does not. */
export const heldOutMark = (metadata: Metadata): ChatLine.Issue | undefined => {
  for (const [key, value] of Object.entries(metadata)) {
    if (isMark(key, value)) return issueAt(key, key)
    if (!Predicate.isReadonlyRecord(value)) continue
    const inner = Object.entries(value).find(([inner, value]) => isMark(inner, value))?.[0]
    if (inner !== undefined) return issueAt(`${key}.${inner}`, key)
  }
  return undefined
}

const issueAt = (place: string, key: string): ChatLine.Issue => ({
  reason: "Unsupported",
  description:
    `says by ${place} that it is for tests, and what is trained on is no test. Put such lines into a file of their own.`,
  key
})

const isMark = (key: string, value: unknown): boolean =>
  typeof value === "string"
    ? splitKeys.has(plain(key)) && isHeldOut(value)
    : value === true && flags.has(plain(key))

/** Whether the name of a split says that it is held out, as `test`, `test[:10%]`, `test_sft` and `held-out` do. */
const isHeldOut = (split: string): boolean => {
  const words = split.slice(0, 100).toLowerCase().replace(/(held|hold)[ _-]?out/g, "heldout").split(/[^a-z]+/)
  return words.some((word) => heldOutNames.has(word)) && !words.some((word) => word.startsWith("train"))
}

const heldOutNames: ReadonlySet<string> = new Set([
  "test",
  "testing",
  "validation",
  "valid",
  "val",
  "dev",
  "development",
  "eval",
  "evaluation",
  "heldout"
])

const plainSet = (keys: ReadonlyArray<string>): ReadonlySet<string> => new Set(keys.map(plain))

const splitKeys = plainSet(["split", "data_split", "dataset_split", "subset", "set", "partition", "fold"])

const flags = plainSet(
  ["test", "validation", "val", "dev", "eval", "held_out", "holdout"].flatMap((name) => [name, `is_${name}`])
)
