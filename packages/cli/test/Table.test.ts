import { assert, it } from "@effect/vitest"
import * as Table from "../src/Table.js"

interface Row {
  readonly id: string
  readonly size: string
  readonly made: string
}

const columns: ReadonlyArray<Table.Column<Row>> = [
  { title: "ID", text: ({ id }) => id, rank: 2 },
  { title: "Size", text: ({ size }) => size, rank: 1, isNumeric: true },
  { title: "Made", text: ({ made }) => made, rank: 3 },
  { title: "Path", text: ({ id }) => `tinker://run:train:0/weights/${id}` }
]

const rows = [
  { id: "one", size: "1.0 KB", made: "just now" },
  { id: "twenty-two", size: "900 B", made: "2 days ago" }
]

const shown = (width: number | undefined, options: Partial<Table.Layout> = {}) =>
  Table.table("2 things", columns, rows)({ width, isColored: false, hasHeader: false, ...options })

it("puts the columns under each other where there is room, numbers to the right", () => {
  assert.strictEqual(
    shown(80),
    `2 things

ID            Size  Made        Path
one         1.0 KB  just now    tinker://run:train:0/weights/one
twenty-two   900 B  2 days ago  tinker://run:train:0/weights/twenty-two
`
  )
})

it("leaves out what matters least where room is short, and never cuts what people copy", () => {
  assert.strictEqual(
    shown(50),
    `2 things

  Size  Path
1.0 KB  tinker://run:train:0/weights/one
 900 B  tinker://run:train:0/weights/twenty-two
`
  )
  assert.strictEqual(
    shown(20),
    `2 things

tinker://run:train:0/weights/one
tinker://run:train:0/weights/twenty-two
`
  )
  for (let width = 1; width < 120; width++) {
    for (const { id } of rows) assert.include(shown(width), `tinker://run:train:0/weights/${id}`)
  }
})

it("gives programs a line a row with tabs between, the names of the columns only if they are wanted", () => {
  const lines = "one\t1.0 KB\tjust now\ttinker://run:train:0/weights/one\n"
    + "twenty-two\t900 B\t2 days ago\ttinker://run:train:0/weights/twenty-two\n"
  assert.strictEqual(shown(undefined), lines)
  assert.strictEqual(shown(undefined, { hasHeader: true }), `ID\tSize\tMade\tPath\n${lines}`)
})

it("counts wide characters as two columns, and lets no text of a server begin a line, a column or a color", () => {
  const layout = { width: 40, isColored: false, hasHeader: false }
  assert.strictEqual(
    Table.table("t", [{ title: "A", text: (text: string) => text }, { title: "B", text: () => "b" }], [
      "漢字",
      "x\ty\n\u001B[31mz"
    ])(
      layout
    ),
    "t\n\nA           B\n漢字        b\nx y �[31mz  b\n"
  )
})

it("writes facts with their names beside them", () => {
  const facts = Table.facts("Thing", [["Name", "n"], ["Metadata", ""], ["  - key", "a  b"]])
  assert.strictEqual(
    facts({ width: 80, isColored: false, hasHeader: false }),
    "Thing\n\nName      n\nMetadata\n  - key   a b\n"
  )
  assert.strictEqual(
    facts({ width: undefined, isColored: false, hasHeader: false }),
    "Name\tn\nMetadata\t\n- key\ta b\n"
  )
})

it("shows the title alone where there is no row", () => {
  assert.strictEqual(
    Table.table("No things found", columns, [])({ width: 80, isColored: true, hasHeader: false }),
    "\u001B[1mNo things found\u001B[22m\n"
  )
  assert.strictEqual(
    Table.table("No things found", columns, [])({ width: undefined, isColored: false, hasHeader: false }),
    ""
  )
})
