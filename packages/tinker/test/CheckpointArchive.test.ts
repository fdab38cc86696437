import { FileSystem } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { CheckpointDownload } from "effect-tinker"
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { gzipSync } from "node:zlib"
import { atOnce, bytesOf, folder, layer, makeStorage, numbers, ref, whole } from "./storage.js"
import { entry, pax, tar, tarGz } from "./tar.js"

const files = {
  "adapter_config.json": bytesOf(300, 1),
  "adapter_model.safetensors": bytesOf(25_088, 2),
  "tokenizer/empty.txt": new Uint8Array(0),
  "tokenizer/vocabulary.txt": bytesOf(511, 3)
}

const entries = Object.entries(files).map(([name, bytes]) => ({ name, bytes }))

const samplerRef = ref.replace("external_weights", "sampler_weights")

const download = (options: CheckpointDownload.Options) =>
  Effect.flatMap(
    CheckpointDownload.CheckpointDownload,
    (download) => atOnce(CheckpointDownload.result(download.archive(samplerRef, options)))
  )

/** Downloads one archive into an empty directory, and gives what is there then. */
const unpacked = (archive: Uint8Array, options: Partial<CheckpointDownload.Options> = {}) => {
  const storage = makeStorage({ archive })
  return Effect.gen(function*() {
    const { target, tree } = yield* folder
    const outcome = yield* Effect.either(download({ directory: target, ...options }))
    return { outcome, tree: yield* tree }
  }).pipe(Effect.scoped, Effect.provide(layer(storage)))
}

for (
  const [what, archive] of [
    ["a tar file", tar(entries)],
    ["a compressed tar file", tarGz(entries)],
    [
      "a tar file with directories and a leading dot",
      tar([
        { name: "./", type: "5" },
        { name: "./tokenizer/", type: "5" },
        ...entries.map(({ bytes, name }) => ({ name: `./${name}`, bytes }))
      ])
    ]
  ] as const
) {
  it.effect(`unpacks ${what}`, () =>
    Effect.gen(function*() {
      const { outcome, tree } = yield* unpacked(archive)
      assert.strictEqual(outcome._tag, "Right")
      assert.deepStrictEqual(tree, whole(files))
      if (outcome._tag === "Right") {
        assert.deepStrictEqual(outcome.right.files, Object.keys(files).sort())
        assert.strictEqual(outcome.right.bytes, 300 + 25_088 + 511)
      }
    }))
}

for (const format of ["ustar", "pax", "gnu"]) {
  it.effect(`unpacks what the tar of this machine makes in the format ${format}`, () =>
    Effect.gen(function*() {
      const long = `${"long/".repeat(12)}${"name".repeat(20)}.bin`
      const wanted = { ...files, [long]: bytesOf(1_000, 4) }
      const source = mkdtempSync(`${tmpdir()}/tar-`)
      for (const [name, bytes] of Object.entries(wanted)) {
        mkdirSync(`${source}/${name}`.replace(/[^/]+$/, ""), { recursive: true })
        writeFileSync(`${source}/${name}`, bytes)
      }
      execFileSync("tar", [`--format=${format}`, "-czf", `${source}.tgz`, "-C", source, "."])
      const { outcome, tree } = yield* unpacked(readFileSync(`${source}.tgz`))
      rmSync(source, { recursive: true })
      rmSync(`${source}.tgz`)
      assert.strictEqual(outcome._tag, "Right")
      assert.deepStrictEqual(
        Object.fromEntries(Object.entries(tree).filter(([name]) => !name.endsWith("/"))),
        Object.fromEntries(Object.entries(whole(wanted)).filter(([name]) => !name.endsWith("/")))
      )
    }))
}

it.effect("takes names and sizes from headers of the format pax", () =>
  Effect.gen(function*() {
    const name = `${"directory/".repeat(15)}é.bin`
    const bytes = bytesOf(700, 5)
    const { outcome, tree } = yield* unpacked(tar([
      pax({ comment: "for all" }, "g"),
      pax({ path: name, size: "700", mtime: "1.5" }),
      entry({ name: "short", bytes, size: 0 }),
      { name: "after", bytes: bytesOf(3) }
    ]))
    assert.strictEqual(outcome._tag, "Right")
    assert.deepStrictEqual(tree[`target/${name}`], Buffer.from(bytes).toString("latin1"))
    assert.deepStrictEqual(tree["target/after"], Buffer.from(bytesOf(3)).toString("latin1"))
  }))

it.effect("joins the two parts of a long name", () =>
  Effect.gen(function*() {
    const { tree } = yield* unpacked(tar([{ name: "weights.bin", prefix: "a/b", bytes: bytesOf(3) }]))
    assert.deepStrictEqual(tree, whole({ "a/b/weights.bin": bytesOf(3) }))
  }))

const refused: ReadonlyArray<readonly [what: string, reason: CheckpointDownload.DownloadReason, archive: Uint8Array]> =
  [
    ["a name that leaves the target", "UnsafeName", tar([...entries, { name: "../x" }])],
    ["a name that leaves the target in the middle", "UnsafeName", tarGz([...entries, { name: "a/../../x" }])],
    ["an absolute name", "UnsafeName", tar([...entries, { name: "/etc/passwd" }])],
    ["a name that leaves the target in a pax header", "UnsafeName", tar([pax({ path: "../../x" }), { name: "x" }])],
    [
      "a long name that leaves the target",
      "UnsafeName",
      tar([
        { name: "././@LongLink", type: "L", bytes: Buffer.from("../../x\0") },
        { name: "x" }
      ])
    ],
    ["a backslash", "UnsafeName", tar([{ name: "..\\x" }])],
    ["a name for a device", "UnsafeName", tar([{ name: "aux.json" }])],
    ["the same name twice", "UnsafeName", tar([{ name: "a" }, { name: "A" }])],
    ["a file where a directory is", "UnsafeName", tar([{ name: "a/b" }, { name: "a" }])],
    ["a symbolic link", "UnsafeArchive", tar([...entries, { name: "link", type: "2", linkName: "/etc" }])],
    ["a hard link", "UnsafeArchive", tar([...entries, { name: "link", type: "1", linkName: "adapter_config.json" }])],
    ["a character device", "UnsafeArchive", tar([{ name: "device", type: "3" }])],
    ["a block device", "UnsafeArchive", tar([{ name: "device", type: "4" }])],
    ["a pipe", "UnsafeArchive", tar([{ name: "pipe", type: "6" }])],
    [
      "a damaged header",
      "Damaged",
      (() => {
        const archive = tar(entries)
        archive[3]! ^= 1
        return archive
      })()
    ],
    ["an end in the middle of a file", "Damaged", tar(entries).subarray(0, 5_000)],
    ["an end between two files, without the mark", "Damaged", entry(entries[0]!)],
    ["no archive at all", "Damaged", bytesOf(5_000)],
    ["nothing at all", "Damaged", new Uint8Array(0)],
    [
      "a damaged compression",
      "Damaged",
      (() => {
        const archive = tarGz(entries)
        archive.fill(0, 1_000, 1_100)
        return archive
      })()
    ],
    ["a compression cut short", "Damaged", tarGz(entries).subarray(0, 10_000)],
    ["a header for the next that is too long", "Damaged", tar([{ name: "x", type: "x", bytes: bytesOf(8_400_000) }])]
  ]

for (const [what, reason, archive] of refused) {
  it.effect(`an archive with ${what} fails, and nothing of it is left`, () =>
    Effect.gen(function*() {
      const { outcome, tree } = yield* unpacked(archive)
      assert.strictEqual(
        outcome._tag === "Left" && outcome.left._tag === "DownloadError" && outcome.left.reason,
        reason
      )
      assert.deepStrictEqual(tree, {})
    }))
}

it.effect("an archive that becomes a thousand times as large is left in time", () =>
  Effect.gen(function*() {
    const zeros = Buffer.alloc(64 * 1024 * 1024)
    const { outcome, tree } = yield* unpacked(tarGz([{ name: "zeros", bytes: zeros }]))
    assert.strictEqual(
      outcome._tag === "Left" && outcome.left._tag === "DownloadError" && outcome.left.reason,
      "UnsafeArchive"
    )
    assert.deepStrictEqual(tree, {})
  }))

it.effect("more files or bytes than are allowed are refused by their headers", () =>
  Effect.gen(function*() {
    const large = tar([{ name: "large", size: 1e9, bytes: bytesOf(1_000) }])
    for (const [archive, limits] of [[large, { maxBytes: 1e6 }], [tar(entries), { maxFiles: 3 }]] as const) {
      const { outcome, tree } = yield* unpacked(archive, limits)
      assert.strictEqual(
        outcome._tag === "Left" && outcome.left._tag === "DownloadError" && outcome.left.reason,
        "TooLarge"
      )
      assert.deepStrictEqual(tree, {})
    }
  }))

it.scoped("an archive goes on after breaks, keeps an old target until then, and is gone afterwards", () =>
  Effect.gen(function*() {
    const storage = makeStorage({ archive: tarGz(entries) })
    const random = numbers(3)
    storage.fault = () => storage.requests.length <= 6 ? { cutAfter: 1 + random() % 2_000 } : undefined
    yield* Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const { target, tree } = yield* folder
      yield* fs.makeDirectory(target)
      yield* fs.writeFile(`${target}/old.txt`, bytesOf(5))
      const error = yield* Effect.flip(download({ directory: target, overwrite: true, maxBytes: 1_000 }))
      assert.strictEqual(error._tag, "DownloadError")
      assert.deepStrictEqual(yield* tree, whole({ "old.txt": bytesOf(5) }))
      storage.requests.length = 0
      yield* download({ directory: target, overwrite: true })
      assert.deepStrictEqual(yield* tree, whole(files))
    }).pipe(Effect.provide(layer(storage)))
    assert.strictEqual(storage.requests.reduce((sum, { sent }) => sum + sent, 0), storage.files.archive!.length)
  }))

it.effect("what follows the end of an archive changes nothing", () =>
  Effect.gen(function*() {
    for (const extra of [0, 1, 511, 512, 70_000]) {
      const archive = Buffer.concat([tar(entries), Buffer.alloc(extra)])
      for (const bytes of [archive, gzipSync(archive)]) {
        const { outcome, tree } = yield* unpacked(bytes)
        assert.strictEqual(outcome._tag, "Right")
        assert.deepStrictEqual(tree, whole(files))
      }
    }
  }))
