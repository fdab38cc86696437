// Measures how the house stands, and fails when a figure is worse than it was; what is wanted stands beside it: modules and exports, exports that nobody names,
// long files and functions, doc comments that are no sentences, places that write an endpoint down, waiting without a schedule,
// what the server says beside the table of endpoints, and what another edition of Effect has otherwise.
// `--list` says where each is.
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { basename } from "node:path"
import ts from "typescript"

const isListing = process.argv.includes("--list")

const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { encoding: "utf8" })
  .trim().split("\n")
const texts = new Map()
const textOf = (file) => {
  if (!texts.has(file)) texts.set(file, readFileSync(file, "utf8"))
  return texts.get(file)
}

const sources = tracked.filter((file) => /^packages\/[^/]+\/src\/.*\.ts$/.test(file) && !file.includes("/generated/"))
const packageOf = (file) => file.split("/")[1]
const isPublic = (file) => /^packages\/[^/]+\/src\/[A-Z]\w*\.ts$/.test(file)

/** The syntax of every source, read once. */
const trees = new Map(sources.map((file) => [file, ts.createSourceFile(file, textOf(file), ts.ScriptTarget.Latest, true)]))
const lineOf = (tree, position) => tree.getLineAndCharacterOfPosition(position).line + 1

const longFiles = () => sources.filter((file) => textOf(file).split("\n").length - 1 > 450)

const longFunctions = () => {
  const found = []
  for (const [file, tree] of trees) {
    const visit = (node) => {
      if (ts.isFunctionLike(node) && node.body !== undefined) {
        const begin = lineOf(tree, node.getStart())
        const lines = lineOf(tree, node.end) - begin + 1
        if (lines > 120) found.push(`${file}:${begin} ${lines} lines`)
      }
      ts.forEachChild(node, visit)
    }
    visit(tree)
  }
  return found
}

/** Declarations of a public module that others can import, with whether their comment says that they are internal. */
const exportsOf = (tree) => {
  const found = []
  for (const statement of tree.statements) {
    if (ts.isExportDeclaration(statement) && statement.exportClause !== undefined && ts.isNamedExports(statement.exportClause)) {
      for (const { name } of statement.exportClause.elements) found.push({ name: name.text, isInternal: false })
      continue
    }
    if (!ts.canHaveModifiers(statement)) continue
    const isExported = ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
    if (!isExported) continue
    const isInternal = ts.getJSDocTags(statement).some(({ tagName }) => tagName.text === "internal")
    const names = ts.isVariableStatement(statement)
      ? statement.declarationList.declarations.map(({ name }) => name.getText())
      : statement.name === undefined
      ? []
      : [statement.name.text]
    for (const name of names) found.push({ name, isInternal })
  }
  return found
}

/** What a reader or another package can see of the SDK: pages, examples, and the other packages' sources and tests. */
const corpus = tracked.filter((file) =>
  (file.endsWith(".md") && !file.startsWith(".changeset"))
  || /^packages\/[^/]+\/examples\//.test(file)
  || (/^(packages\/[^/]+\/(src|test|scripts)|bench)\/.*\.ts$/.test(file) && packageOf(file) !== "tinker")
)

const sdkExports = Array.from(trees).flatMap(([file, tree]) =>
  packageOf(file) !== "tinker" || !isPublic(file)
    ? []
    : exportsOf(tree).filter(({ isInternal }) => !isInternal).map(({ name }) => ({ module: basename(file, ".ts"), name }))
)

const unnamedExports = () => {
  const pages = corpus.map(textOf)
  return sdkExports.filter(({ module, name }) => {
    const word = new RegExp(`\\b${name}\\b`)
    return !pages.some((text) => word.test(text) && new RegExp(`\\b${module}\\b`).test(text))
  }).map(({ module, name }) => `${module}.${name}`)
}

/** Words by which no sentence with a subject begins; what they begin says nothing where only the comment is seen. */
const fragment = /^(Of|Likewise|That|By|From|In|For|As|With|Without|Behind|Beside|Under|At|On|To|Until|Also|And|But|Those|Which)\b/

const fragments = () =>
  sources.flatMap((file) =>
    Array.from(textOf(file).matchAll(/\/\*\*\s(?:\s*\* )?(.*)/g), ({ 1: text, index }) => ({ text, index }))
      .filter(({ text }) => fragment.test(text))
      .map(({ index, text }) => `${file}:${textOf(file).slice(0, index).split("\n").length} ${text.replace(" */", "")}`)
  )

const codeOf = (file) => textOf(file).replace(/\/\*[^]*?\*\//g, "")

/**
 * Sources that write down an endpoint, beyond the table and one handler or client each. What requests and answers say of their type is
 * something else, and so are the routes of other servers.
 */
const endpointPlaces = () => {
  const tables = sources.filter((file) => file.startsWith("packages/protocol/src/internal/endpoints/"))
  const names = tables.flatMap((file) => Array.from(textOf(file).matchAll(/operation: "([^"]+)"/g), ([, name]) => name))
  return names.filter((name) => name.includes("_")).map((name) => {
    const written = new RegExp(`(?<!type: |type === |literal\\(|sentType\\()["'/\`]${name}["'/\`]`)
    const places = sources.filter((file) => !file.endsWith("Dialect.ts") && !file.includes("/dialects/") && written.test(codeOf(file)))
    return { name, places }
  }).filter(({ places }) => places.length > 2).map(({ name, places }) => `${name}: ${places.join(", ")}`)
}

const sleeps = () =>
  sources.filter((file) => packageOf(file) === "tinker").flatMap((file) =>
    Array.from(textOf(file).matchAll(/Effect\.sleep\(/g), ({ index }) =>
      `${file}:${textOf(file).slice(0, index).split("\n").length}`)
  )

/** Objects of the wire, and their schemas, that the server has beside the table. Its own files are no messages, and the hub's answers are another service's. */
const serverWire = () =>
  sources.filter((file) => packageOf(file) === "server" && !/\/records\/|\/hubRoutes\.ts$/.test(file)).flatMap((file) =>
    Array.from(textOf(file).matchAll(/Schema\.Struct\(|Http\.json\(\{/g), ({ index }) =>
      `${file}:${textOf(file).slice(0, index).split("\n").length}`)
  )

/**
 * What Effect 4 does not just call by another name, and the files that are its seams, besides those in `src/internal/effect/`. A seam is
 * what another edition of this source replaces by hand, where everything else is only renamed: a small module by its subject, or the one
 * file of a package that has to do with it. Whatever else needs it asks the seam.
 */
const seams = [
  {
    pattern: /\bSchema\.(optionalWith|fromKey|optionalToRequired|propertySignature)\b/,
    files: ["protocol/src/WireField.ts", "tokenizer/src/internal/tokenizerFile.ts"]
  },
  { pattern: /\bdisableValidation\b/, files: ["protocol/src/internal/settingsOf.ts"] },
  {
    pattern: /"effect\/(SchemaAST|JSONSchema)"/,
    files: [
      "server/src/internal/fast/leanDecoder.ts",
      "server/src/internal/fast/leanEncoder.ts",
      "server/src/internal/http/openApi.ts",
      "server/src/internal/http/schemaIssues.ts"
    ]
  },
  {
    pattern: new RegExp(
      "\\bSchedule\\.(union|intersect|either|both|andThen|upTo|recurUpTo|check|elapsed|delays|modifyDelay|addDelay|jitteredWith|while|until|stop"
        + "|driver|resetAfter)|\"effect/Schedule(Decision|Interval|Intervals)\""
    ),
    files: ["cli/src/Connection.ts", "tinker/src/internal/transport/policyRun.ts"]
  },
  {
    pattern: new RegExp(
      "\"effect/(FiberRefs?|DefaultServices|Runtime|RuntimeFlags|Scheduler|Supervisor)\"|\\.(getFiberRef|currentDefaultServices|currentSpan"
        + "|currentTracer)\\b|\\bEffect\\.(withFiberRuntime|withScheduler|disconnect|runtime|supervised)\\b"
    ),
    files: [
      "cli/src/PatientScheduler.ts",
      "cli/src/Recovery.ts",
      "node/src/CredentialCommand.ts",
      "node/src/NodeServer.ts",
      "server/src/TinkerServer.ts",
      "server/src/internal/fast/start.ts"
    ]
  },
  { pattern: /"effect\/Metric(Key|Label|Boundaries)"/, files: [] },
  { pattern: /\b(RequestError|ResponseError)\b/, files: ["server/src/TinkerServer.ts"] },
  {
    pattern: /\b(SystemError|BadArgument)\b/,
    files: [
      "cookbook/src/internal/fileBytes.ts",
      "node/src/StoredCredentials.ts",
      "server/src/internal/http/diskTrouble.ts"
    ]
  },
  { pattern: /\bConfigErrors?\.(InvalidData|MissingData|SourceUnavailable|Unsupported|And|Or)\b|\bConfig\.mapOrFail\b/, files: [] },
  {
    pattern: /\bCause\.(failures|defects|dieOption|interruptOption|failureOrCause|isEmptyType|reduce|match|sequential|parallel|linearize)|\bcause\._op\b/,
    files: ["cli/src/Main.ts", "node/src/NodeServer.ts"]
  },
  { pattern: /\bQueue\.take(All|UpTo)\b/, files: [] }
]

const outsideSeams = () =>
  sources.filter((file) => !file.includes("/src/internal/effect/")).flatMap((file) => {
    const lines = codeOf(file).split("\n")
    return seams.filter(({ files }) => !files.some((seam) => file === `packages/${seam}`)).flatMap(({ pattern }) =>
      lines.filter((line) => pattern.test(line)).map((line) => `${file}: ${line.trim()}`)
    )
  })

const publicModules = sources.filter((file) => packageOf(file) === "tinker" && isPublic(file))

/** Of each figure: what was found, what is wanted, and what there may be until then, to be lowered with every improvement. */
const figures = [
  ["public modules of effect-tinker", publicModules, 40, 40],
  ["exports that no page, example or other package names", unnamedExports(), 0, 0],
  ["files over 450 lines", longFiles(), 0, 0],
  ["functions over 120 lines", longFunctions(), 0, 0],
  ["doc comments that are no sentences", fragments(), 0, 0],
  ["endpoints written down in more than two places", endpointPlaces(), 0, 0],
  ["Effect.sleep in effect-tinker", sleeps(), 3, 3],
  ["wire objects and schemas by hand in the server", serverWire(), 0, 0],
  ["uses of what Effect 4 has otherwise, outside their seams", outsideSeams(), 0, 0]
]

let isWorse = false
console.log(`${String(new Set(sdkExports.map(({ module, name }) => `${module}.${name}`)).size).padStart(5)}           exports of effect-tinker`)
for (const [what, found, wanted, most] of figures) {
  const mark = found.length > most ? "!" : found.length < most ? "-" : " "
  if (found.length > most) isWorse = true
  console.log(`${String(found.length).padStart(5)} of ${String(most).padStart(3)} ${mark} ${what}; wanted ${wanted}`)
  if (isListing) for (const place of found) console.log(`        ${place}`)
}
if (isWorse) console.error("A figure marked ! is worse than it was: npm run house -- --list says where.")
process.exitCode = isWorse ? 1 : 0
