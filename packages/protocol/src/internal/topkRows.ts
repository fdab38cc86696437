import * as Schema from "effect/Schema"
import type { TopkLogprobs, TopkRow } from "../SampleResponse.js"
import { attempt } from "./attempt.js"
import { listOf, numberOf, tokenOf } from "./tensorJson.js"

type Rows = ReadonlyArray<TopkRow | null>

/** Marks an empty cell. Source: the Python SDK 0.38.0. */
export const noLogprob = -99999

export const isEmptyCell = (topk: TopkLogprobs, cell: number): boolean =>
  topk.tokenIds[cell] === 0 && topk.logprobs[cell] === noLogprob

export const rowAt = (topk: TopkLogprobs, position: number): TopkRow => {
  const start = position * topk.k
  let end = topk.k === 0 || isEmptyCell(topk, start) ? start : start + topk.k
  while (end > start && isEmptyCell(topk, end - 1)) end--
  return Array.from({ length: end - start }, (_, i) => [topk.tokenIds[start + i]!, topk.logprobs[start + i]!] as const)
}

export const rowsOf = (topk: TopkLogprobs): Rows =>
  Array.from({ length: topk.length }, (_, position) => {
    const row = rowAt(topk, position)
    return row.length === 0 ? null : row
  })

/** Rows of pairs, of different lengths and null where there are none, in cells of the longest row. Throws an `Error` that names the place. */
export const topkOf = (value: unknown, name: string): TopkLogprobs => {
  const rows = listOf(value, name).map((row, i) => row === null ? [] : listOf(row, `${name}[${i}]`))
  const k = rows.reduce((longest, row) => Math.max(longest, row.length), 0)
  const tokenIds = new Int32Array(rows.length * k)
  const logprobs = new Float32Array(rows.length * k).fill(noLogprob)
  rows.forEach((row, i) =>
    row.forEach((cell, j) => {
      const place = `${name}[${i}][${j}]`
      const pair = listOf(cell, place)
      tokenIds[i * k + j] = tokenOf(pair[0], place)
      logprobs[i * k + j] = numberOf(pair[1], place)
    })
  )
  return { k, length: rows.length, tokenIds, logprobs }
}

const RowsFromSelf: Schema.Schema<Rows> = Schema.declare((u): u is Rows => Array.isArray(u), {
  identifier: "TopkRows",
  jsonSchema: {
    type: "array",
    items: { anyOf: [{ type: "array", items: { type: "array", items: { type: "number" } } }, { type: "null" }] }
  }
})

const TopkFromSelf: Schema.Schema<TopkLogprobs> = Schema.declare(
  (u): u is TopkLogprobs => typeof u === "object" && u !== null && "tokenIds" in u && u.tokenIds instanceof Int32Array,
  { identifier: "TopkLogprobs" }
)

/** The most probable tokens: rows of pairs on the wire, null where there are none, in cells of the longest row here. */
export const TopkFromRows: Schema.Schema<TopkLogprobs, Rows> = Schema.transformOrFail(RowsFromSelf, TopkFromSelf, {
  strict: true,
  decode: (rows, _, ast) => attempt(ast, rows, () => topkOf(rows, "rows")),
  encode: (topk, _, ast) =>
    attempt(ast, topk, () => {
      const at = topk.logprobs.findIndex((logprob) => !Number.isFinite(logprob))
      if (at >= 0) throw new Error(`topk logprobs is ${topk.logprobs[at]} at ${at}, which JSON lacks`)
      return rowsOf(topk)
    })
})
