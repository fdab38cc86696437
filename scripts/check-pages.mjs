// Follows every page as a reader would: the README of the repository, and that of each package with those in its `docs`, in an
// empty folder with a space in its name. Install lines are run as they are written, against a registry that has what
// check-dist.mjs packed, by npm in a CommonJS project and by pnpm in one of ES modules, and all modules of the package are
// loaded there. Programs are compiled as both; those that `runs` names are run. Parts of programs are held against the file that
// they name, which travels with the package. A block that is checked in none of these ways is an error.
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { blocksOf } from "./pages.mjs"
import { freePort, shell, whileRunning } from "./processes.mjs"
import { serve } from "./registry.mjs"

const folder = join(mkdtempSync(join(tmpdir(), "effect-tinker-")), "a folder")
// Beside what is installed here, so that links will do for copies.
const repository = join(process.cwd(), "build", "a repository")

const counts = {}
const count = (what) => counts[what] = (counts[what] ?? 0) + 1
const attempt = async (what, where, effect) => {
  try {
    await effect()
    count(what)
  } catch (error) {
    count("failed")
    console.error(`${where}: ${error.message}`)
  }
}

const pages = [
  { name: "repository", files: ["README.md"], modules: [] },
  ...readdirSync("packages").map((name) => {
    const published = JSON.parse(readFileSync(`packages/${name}/package.json`, "utf8")).name
    const docs = `packages/${name}/docs`
    return {
      name,
      files: [`packages/${name}/README.md`, ...existsSync(docs) ? readdirSync(docs).map((file) => `${docs}/${file}`) : []],
      modules: readdirSync(`packages/${name}/dist`)
        .filter((file) => file.endsWith(".js"))
        .map((file) => file === "index.js" ? published : `${published}/${file.slice(0, -3)}`)
    }
  })
].map(({ files, ...page }) => ({
  ...page,
  blocks: files.flatMap((file) => blocksOf(file).map((block) => ({ ...block, file, at: `${file}:${block.line}` })))
}))

/** The program of a page that has a text in it. */
const programOf = (file, text) =>
  blocksOf(file).find(({ code, language }) => language === "ts" && code.includes(text)).code

const vitest = (code, { cwd, env }) => {
  writeFileSync(join(cwd, "page.test.ts"), code)
  return shell("npx vitest run", { cwd, env })
}

/** Runs the server of its README, with the model that programs of the pages ask for. */
const serving = async ({ cwd, env }, use = () => {}) => {
  const port = await freePort()
  const file = "packages/server/README.md"
  const model = "BigramEngine.layer({ baseModels: [\"Qwen/Qwen3-8B\"] })"
  const code = programOf(file, "8000").replace("8000", port).replace("BigramEngine.layer()", model)
  const server = join(dirname(cwd), "server")
  writeFileSync(join(server, "serve.ts"), code)
  const url = `http://127.0.0.1:${port}`
  await whileRunning("npx tsx serve.ts", `${url}/openapi.json`, { cwd: server, env }, () =>
    use({ ...env, TINKER_API_KEY: "tml-mine", TINKER_BASE_URL: url, TINKER_TELEMETRY: "0" }))
}

/** Lines of the command that ask for what is not here: their commands and options must be ones that there are. */
const known = async (code, { cwd, env }) => {
  for (const line of code.trim().split("\n")) {
    const help = await shell(`npx ${line} --help`, { cwd, env })
    const lacking = (line.match(/ --[a-z-]+/g) ?? []).filter((option) => !help.includes(option.trim()))
    if (lacking.length > 0) throw new Error(`${line}: there is no${lacking.join(",")}`)
  }
}

/**
 * How blocks are run, by page and by a text in them: in the folder where the lines of their page were run, or for those of the
 * repository in a copy of it. What trains for long makes fewer steps, or runs until it trains, and ports are free ones.
 */
const runs = {
  "README.md": {
    "npm install && npm start": async (_, { cwd, env }) => {
      await shell("npm install && npm start -- --steps 3 --out runs/first", { cwd, env })
      if (!existsSync(join(cwd, "runs/first/report.html"))) throw new Error("it wrote no report")
    },
    // In .ci/run, which reads it from the page.
    "npm install && npm test": () => {},
    "npm run serve": (code, { cwd, env }) => whileRunning(code.replace("8787", "0"), /listening on http/, { cwd, env }),
    "before:": (code, { cwd, env }) => {
      writeFileSync(join(cwd, "scratchpad", "program.ts"), code)
      return whileRunning("npx tsx scratchpad/program.ts", /before: .*\nstep 1: \d/, { cwd, env })
    }
  },
  "packages/tinker/README.md": {
    "npx tsx first.ts": (code, project) =>
      serving(project, async (env) => {
        writeFileSync(join(project.cwd, "first.ts"), programOf("packages/tinker/README.md", "name: \"first\""))
        const output = await shell(code, { cwd: project.cwd, env })
        if (!/^loss \d.* saved tinker:/.test(output)) throw new Error(`it wrote ${output}`)
      }),
    "it.effect(": vitest
  },
  "packages/server/README.md": {
    "it.effect(": vitest,
    "port: 8000": (_, project) => serving(project)
  },
  "packages/tokenizer/README.md": {
    "models/small": async (code, { cwd, env }) => {
      cpSync("packages/llama/model", join(cwd, "models/small"), { recursive: true })
      writeFileSync(join(cwd, "program.ts"), code)
      const output = await shell("npx tsx program.ts", { cwd, env })
      if (!output.includes("The light is lit.")) throw new Error(`it wrote ${output}`)
    }
  },
  "packages/cli/README.md": {
    "npx tinker train": async (code, { cwd, env }) => {
      await shell(`${code.trim()} --steps 3 --out run`, { cwd, env })
      if (!existsSync(join(cwd, "run", "report.html"))) throw new Error("it wrote no report")
    },
    "tinker checkpoint delete": (code, { cwd, env }) =>
      whileRunning("npx tinker serve --port 0", /listening on/, { cwd, env }, async (output) => {
        const url = /listening on (\S+)/.exec(output)[1]
        for (const line of code.trim().split("\n").filter((line) => !line.includes("RUN_ID"))) {
          await shell(`npx ${line}`, { cwd, env: { ...env, TINKER_BASE_URL: url } })
        }
      }),
    "tinker sample Qwen": known,
    "tinker checkpoint export": known,
    "tinker checkpoint push-hf": known,
    "\"default\": \"work\"": async (code, { cwd, env }) => {
      mkdirSync(join(cwd, ".tinker"), { recursive: true })
      writeFileSync(join(cwd, ".tinker", "profiles.json"), code)
      const output = await shell("npx tinker version --json --profile here", { cwd, env: { ...env, HOME: cwd } })
      if (!output.includes("127.0.0.1:8787")) throw new Error(`it wrote ${output}`)
    },
    "\"client_config\"": (code, { cwd, env }) => {
      writeFileSync(join(cwd, "settings.json"), code)
      const line = "npx tinker serve --port 0 --settings settings.json"
      return whileRunning(line, /listening on/, { cwd, env })
    }
  }
}

const runOf = ({ code, file }) => Object.entries(runs[file] ?? {}).find(([text]) => code.includes(text))?.[1]
const isInstall = ({ code, language }) => language === "sh" && /^npm install [^&\n]+\n$/.test(code)
const isPart = ({ code, language }) => language === "ts" && code.startsWith("// From ")
const importsOf = ({ code, language }) =>
  language === "ts" ? Array.from(code.matchAll(/ from "([^."][^"]*)"$/gm), ([, name]) => name) : []
const isProgram = (block) => importsOf(block).length > 0

const trimmed = (text) => text.split("\n").map((line) => line.trim()).join("\n").trim()

/** A part must be in its file, which must be in the package. */
const checkPart = ({ code, file }, name) => {
  const [, path] = /^\/\/ From (\S+)/.exec(code)
  const part = trimmed(code.slice(code.indexOf("\n")))
  const whole = trimmed(readFileSync(`packages/${name}/dist/${path}`, "utf8"))
  if (!whole.includes(part)) throw new Error(`${file} shows what is not in ${path}:\n${part}`)
}

const project = (path, type, npmrc) => {
  const cwd = join(folder, path)
  mkdirSync(cwd, { recursive: true })
  writeFileSync(join(cwd, "package.json"), JSON.stringify({ private: true, type }))
  writeFileSync(join(cwd, ".npmrc"), npmrc)
  return cwd
}

/** Loads modules as programs of a project of this type do. */
const load = (modules, type, options) => {
  const list = JSON.stringify(modules)
  return type === "module"
    ? shell(`node --input-type=module -e 'for (const name of ${list}) await import(name)'`, options)
    : shell(`node -e 'if (process.features.require_module) for (const name of ${list}) require(name)'`, options)
}

const follow = async ({ name: manager, translate, type }, npmrc, env) => {
  for (const { blocks, modules, name } of pages) {
    const cwd = project(join(manager, name), type, npmrc)
    for (const { at, code } of blocks.filter(isInstall)) {
      await attempt("install lines", `${at}, ${manager}`, () => shell(translate(code.trim()), { cwd, env }))
    }
    // Of Vitest's own module only its runner can load it.
    const used = [...modules, ...blocks.flatMap(importsOf)].filter((module) => !module.includes("vitest"))
    if (name !== "repository") {
      await attempt("packages loaded", `packages/${name}, ${manager}`, () => load([...new Set(used)], type, { cwd, env }))
    }
    // What Node or Vitest reads as it is, is the same in both kinds of projects.
    const isSame = ({ code }) => name === "cli" || code.includes("@effect/vitest")
    const isRun = (block) =>
      name !== "repository" && runOf(block) !== undefined && (manager === "npm" || !isSame(block))
    for (const block of blocks.filter(isRun)) {
      await attempt("blocks run", `${block.at}, ${manager}`, () => runOf(block)(block.code, { cwd, env }))
    }
  }
}

/** The repository as it would be committed, with what is installed in it. */
const followRepository = async (env) => {
  rmSync(repository, { recursive: true, force: true })
  const list = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { encoding: "utf8" })
  for (const file of list.split("\0")) if (existsSync(file) && file !== "") cpSync(file, join(repository, file))
  await shell(`cp -al node_modules '${repository}' && cd '${repository}' && cp --remove-destination "$OLDPWD"/node_modules/.package-lock.json node_modules`)
  for (const block of pages[0].blocks.filter((block) => runOf(block) !== undefined)) {
    await attempt("blocks run", block.at, () => runOf(block)(block.code, { cwd: repository, env }))
  }
}

/** All programs of pages, and all examples, in one project with all that the pages install. */
const compile = async (npmrc, env) => {
  const all = pages.flatMap(({ blocks }) => blocks)
  const cwd = project("all", "module", npmrc)
  const words = new Set(all.filter(isInstall).flatMap(({ code }) => code.trim().split(" ").slice(2)))
  words.delete("--save-dev")
  await shell(`npm install ${[...words].join(" ")}`, { cwd, env })
  for (const type of ["module", "commonjs"]) {
    mkdirSync(join(cwd, type))
    writeFileSync(join(cwd, type, "package.json"), JSON.stringify({ type }))
    for (const { code, file, line } of all.filter(isProgram)) {
      writeFileSync(join(cwd, type, `${file.replace(/\W/g, "-")}-${line}.ts`), code)
      count("programs compiled")
    }
  }
  for (const name of readdirSync("packages").filter((name) => existsSync(`packages/${name}/dist/examples`))) {
    cpSync(`packages/${name}/dist/examples`, join(cwd, "module", name), { recursive: true })
  }
  const { compilerOptions: { target, strict, exactOptionalPropertyTypes, noUncheckedIndexedAccess } } = JSON.parse(
    readFileSync("tsconfig.base.json", "utf8")
  )
  writeFileSync(
    join(cwd, "tsconfig.json"),
    JSON.stringify({
      include: ["module", "commonjs"],
      compilerOptions: {
        ...{ target, strict, exactOptionalPropertyTypes, noUncheckedIndexedAccess },
        module: "nodenext",
        noEmit: true,
        skipLibCheck: true,
        types: ["node"],
        typeRoots: [join(process.cwd(), "node_modules", "@types")]
      }
    })
  )
  await attempt("projects compiled", cwd, () => shell(`'${process.cwd()}/node_modules/.bin/tsc' -p .`, { cwd, env }))
}

for (const { blocks, name } of pages) {
  for (const block of blocks) {
    if (isPart(block)) await attempt("parts found", block.at, () => checkPart(block, name))
    else if (block.language === "") count("shown only")
    else if (!isInstall(block) && !isProgram(block) && runOf(block) === undefined) {
      await attempt("", block.at, () => {
        throw new Error("nothing says how this block is checked; see scripts/check-pages.mjs")
      })
    }
  }
}

const registry = await serve("build/packed")
const npmrc = `registry=${registry.url}\nreplace-registry-host=never\nfund=false\naudit=false\nupdate-notifier=false\n`
// None of the settings that npm gives to what it runs; and npx is answered that it may fetch what it asks for.
const settings = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name))
const env = { ...Object.fromEntries(settings), npm_config_yes: "true" }
const npm = { name: "npm", type: "commonjs", translate: (line) => line }
const pnpm = { name: "pnpm", type: "module", translate: (line) => line.replace(/^npm install/, "npx --yes pnpm@12.21.0 add") }
const hasPnpm = await shell("npx --yes pnpm@12.21.0 --version", { env }).then(() => true, () => false)
if (!hasPnpm) count("package managers skipped")

await Promise.all([
  follow(npm, npmrc, env),
  hasPnpm ? follow(pnpm, npmrc, env) : follow({ ...npm, name: "npm-esm", type: "module" }, npmrc, env)
])
await Promise.all([compile(npmrc, env), followRepository(env)])
registry.close()
console.log(Object.entries(counts).map(([what, n]) => `${n} ${what}`).join(", "))
if (counts.failed !== undefined) process.exitCode = 1
await shell(`rm -rf '${dirname(folder)}' '${repository}'`)
