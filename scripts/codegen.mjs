// Writes the TypeScript of every .proto; the result is committed, so only a change of a .proto needs this.
import { execFileSync } from "node:child_process"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const bin = join(process.cwd(), "node_modules", ".bin", "protoc-gen-es")
const folder = mkdtempSync(join(tmpdir(), "codegen-"))

for (const [proto, out] of [["packages/protocol/proto", "packages/protocol/src/internal/generated"]]) {
  const template = join(folder, "buf.gen.yaml")
  writeFileSync(
    template,
    `version: v2\nplugins:\n  - local: ${JSON.stringify(bin)}\n    out: ${out}\n    opt: [target=ts, import_extension=js]\n`
  )
  const options = { stdio: "inherit", shell: process.platform === "win32" }
  execFileSync("npx", ["--yes", "@bufbuild/buf@1.75.0", "generate", proto, "--template", template], options)
}
