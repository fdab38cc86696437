/**
 * Rows whose columns are whatever they have: as a table, or as CSV (RFC 4180).
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Humanize from "./Humanize.js"
import * as NewFile from "./NewFile.js"
import * as Output from "./Output.js"
import * as Table from "./Table.js"
import type { UsageError } from "./UsageError.js"

/**
 * A row by the names of its columns. Null is known to be nothing; what is missing is of no account.
 *
 * @since 0.1.0
 * @category models
 */
export type Row = Readonly<Record<string, string | number | boolean | null | undefined>>

/**
 * The columns of all rows, in the order in which they come first.
 *
 * @since 0.1.0
 * @category utils
 */
export const columnsOf = (rows: ReadonlyArray<Row>): ReadonlyArray<string> =>
  Array.from(new Set(rows.flatMap((row) => Object.keys(row).filter((key) => row[key] !== undefined))))

/**
 * Rows as a table, in which null is written so.
 *
 * @since 0.1.0
 * @category rendering
 */
export const table = (title: string, rows: ReadonlyArray<Row>) =>
  Table.table(
    title,
    columnsOf(rows).map((key, rank): Table.Column<Row> => ({
      title: key,
      text: (row) => row[key] === null ? "null" : String(row[key] ?? ""),
      // Those that come first in what the service says matter most.
      rank: rank < 2 ? undefined : rank
    })),
    rows
  )

/**
 * Rows as CSV, with a line of names; nothing where there is no row. Null is an empty cell.
 *
 * @since 0.1.0
 * @category rendering
 */
export const csv = (rows: ReadonlyArray<Row>, columns: ReadonlyArray<string> = columnsOf(rows)): string =>
  columns.length === 0 ? "" : [columns, ...rows.map((row) => columns.map((key) => row[key] ?? ""))]
    .map((cells) => `${cells.map((cell) => quoted(String(cell))).join(",")}\r\n`)
    .join("")

const quoted = (cell: string): string => /[",\r\n]/.test(cell) ? `"${cell.replaceAll("\"", "\"\"")}"` : cell

/**
 * Writes CSV into a file, which may be replaced, or to the standard output.
 *
 * @since 0.1.0
 * @category utils
 */
export const writeCsv = (
  place: string,
  text: string,
  count: number
): Effect.Effect<void, PlatformError | UsageError, Output.Output | FileSystem.FileSystem | Path.Path> =>
  Effect.flatMap(Output.Output, (output) =>
    place === "-"
      ? output.raw([text])
      : Effect.zipRight(
        NewFile.write(place, Stream.make(new TextEncoder().encode(text))),
        output.notice(`Wrote ${Humanize.counted(count, "row").toLowerCase()} to ${place}`)
      ))
