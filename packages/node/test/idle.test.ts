import { assert, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"

it("reading the packages starts no timer, socket or worker", () => {
  const script = `
    const before = process.getActiveResourcesInfo()
    await import("effect-tinker")
    await import("@effect-tinker/node")
    const after = process.getActiveResourcesInfo()
    console.log(JSON.stringify({ before, after }))
  `
  const printed = execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", script], {
    encoding: "utf8"
  })
  const { after, before } = JSON.parse(printed) as Record<"before" | "after", ReadonlyArray<string>>
  // The loader of TypeScript has files open, before and after.
  const left = [...before]
  const added = after.filter((name) => {
    const at = left.indexOf(name)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
  assert.deepStrictEqual(added.filter((name) => /Timeout|Immediate|TCP|TLS|Worker|MessagePort|Pipe/.test(name)), [])
})
