import { assert, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8")

const names = read("./fixtures/python-names.txt").trim().split("\n")

const rows = Array.from(
  read("../docs/coming-from-python.md").matchAll(/^\| `([\w.]+)` \| (?:`([\w./]+)`|not here) \| (.*?) ?\|$/gm),
  ([, python, here, note]) => ({ python: python!, here, note: note! })
)

/** Whether a module exports the name or describes a member of that name: one of the SDK and the protocol, or of the package named. */
const exists = (name: string) => {
  const [, pkg, module, member] = /^(?:(\w+)\/)?(\w+)\.(\w+)$/.exec(name) ?? []
  return (pkg === undefined ? ["tinker", "protocol"] : [pkg]).some((pkg) => {
    const file = `../../${pkg}/src/${module}.ts`
    return existsSync(new URL(file, import.meta.url))
      && new RegExp(`^(export (const|class|interface|type) ${member}\\b|  readonly ${member}\\b)`, "m").test(read(file))
  })
}

const withoutTwin = (name: string) => {
  const base = name.replace(/_async$/, "")
  return names.includes(base) ? base : name
}

it("tells where every public name of the Python SDK is, once", () => {
  const wanted = Array.from(new Set(names.map(withoutTwin))).sort()
  assert.isAbove(wanted.length, 200)
  assert.deepStrictEqual(rows.map(({ python }) => python).sort(), wanted)
})

it("tells of nothing that does not exist here, and says why of what is not here", () => {
  for (const { here, note, python } of rows) {
    if (here === undefined) assert.isNotEmpty(note, python)
    else assert.isTrue(exists(here), `${python}: ${here}`)
    for (const [, other] of note.matchAll(/`(\w+\.\w+)`/g)) {
      assert.isTrue(exists(other!) || names.includes(other!) || other!.startsWith("Effect."), `${python}: ${other!}`)
    }
  }
})
