/**
 * Tables and lists of facts as text. What people copy, as ids and paths, is never cut.
 */

/**
 * How a text is laid out.
 *
 * - `width`: columns of the terminal; `undefined` where the text goes to a program, which gets a line a row with tabs between
 * - `isColored`: whether titles may be bold
 * - `hasHeader`: whether programs get the line of the columns' names too
 *
 * @since 0.1.0
 * @category models
 */
export interface Layout {
  readonly width: number | undefined
  readonly isColored: boolean
  readonly hasHeader: boolean
}

/**
 * A column. Where room is short those of the highest `rank` are left out first; one without a rank always stays, and is never cut.
 *
 * @since 0.1.0
 * @category models
 */
export interface Column<Row> {
  readonly title: string
  readonly text: (row: Row) => string
  readonly rank?: number | undefined
  readonly isNumeric?: boolean | undefined
}

/**
 * A table with a title. On a terminal the columns stand under each other, and what does not fit beside the rest comes on a line of its own.
 *
 * @since 0.1.0
 * @category rendering
 */
export const table = <Row>(
  title: string,
  columns: ReadonlyArray<Column<Row>>,
  rows: ReadonlyArray<Row>
) =>
(layout: Layout): string => {
  const cells = rows.map((row) => columns.map((column) => oneLine(column.text(row))))
  if (layout.width === undefined) {
    const header = layout.hasHeader ? [columns.map(({ title }) => title)] : []
    return [...header, ...cells].map((line) => `${line.join("\t")}\n`).join("")
  }
  const bold = emphasis(layout)
  if (rows.length === 0) return `${bold(title)}\n`
  const widths = columns.map(({ title }, index) =>
    Math.max(widthOf(title), ...cells.map((line) => widthOf(line[index]!)))
  )
  const { beneath, beside } = arranged(columns, widths, layout.width)
  const line = (texts: ReadonlyArray<string>) =>
    beside.map((index) => {
      const blank = " ".repeat(widths[index]! - widthOf(texts[index]!))
      return columns[index]!.isNumeric === true ? blank + texts[index]! : texts[index]! + blank
    }).join(gap).trimEnd()
  const titles = columns.map(({ title }) => title)
  const lines = cells.flatMap((texts) => [
    ...(beside.length === 0 ? [] : [line(texts)]),
    ...beneath.map((index) => (beside.length === 0 ? "" : gap) + texts[index]!)
  ])
  return [bold(title), "", ...(beside.length === 0 ? [] : [bold(line(titles))]), ...lines, ""].join("\n")
}

/**
 * Facts, each with its name, under a title. A name that begins with blanks belongs to the one above.
 *
 * @since 0.1.0
 * @category rendering
 */
export const facts =
  (title: string, rows: ReadonlyArray<readonly [name: string, value: string]>) => (layout: Layout): string => {
    if (layout.width === undefined) {
      return rows.map(([name, value]) => `${name.trim()}\t${oneLine(value)}\n`).join("")
    }
    const bold = emphasis(layout)
    const width = Math.max(...rows.map(([name]) => widthOf(name)))
    return [
      bold(title),
      "",
      ...rows.map(([name, value]) => `${name}${" ".repeat(width - widthOf(name))}${gap}${oneLine(value)}`.trimEnd()),
      ""
    ].join("\n")
  }

const gap = "  "

const emphasis = ({ isColored }: Layout) => (text: string) => isColored ? `\u001B[1m${text}\u001B[22m` : text

/** What a server says may not move the cursor, nor begin a line or a column. */
const oneLine = (text: string): string => text.replace(/\s+/g, " ").replace(/\p{C}/gu, "�")

/** Says which columns stand beside each other, and which beneath. */
const arranged = <Row>(columns: ReadonlyArray<Column<Row>>, widths: ReadonlyArray<number>, width: number) => {
  let beside = columns.map((_, index) => index)
  const isTooWide = () =>
    beside.reduce((sum, index) => sum + widths[index]!, 0) + gap.length * Math.max(0, beside.length - 1) > width
  const byRank = beside
    .filter((index) => columns[index]!.rank !== undefined)
    .sort((a, b) => columns[b]!.rank! - columns[a]!.rank!)
  for (const index of byRank) {
    if (!isTooWide()) break
    beside = beside.filter((other) => other !== index)
  }
  const beneath: Array<number> = []
  // The widest last: it is the path.
  while (isTooWide() && beside.length > 0) {
    const widest = beside.reduce((best, index) => widths[index]! >= widths[best]! ? index : best)
    beside = beside.filter((index) => index !== widest)
    beneath.unshift(widest)
  }
  return { beside, beneath }
}

const segments = new Intl.Segmenter()

/** Characters of Chinese, Japanese and Korean, and pictures, take two columns. */
const isWide =
  /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|[\uFF01-\uFF60]|\p{Emoji_Presentation}/u

const widthOf = (text: string): number =>
  /^[\x20-\x7E]*$/.test(text)
    ? text.length
    : Array.from(segments.segment(text)).reduce((sum, { segment }) => sum + (isWide.test(segment) ? 2 : 1), 0)
