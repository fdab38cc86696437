/**
 * The commands as data: what they are called, what they take, and where what they do is found. Nothing that a command needs is loaded
 * before it runs, so that help comes at once.
 */
import { nearest } from "@effect-tinker/protocol/CallOptions"
import * as Args from "@effect/cli/Args"
import type * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import type * as Span from "@effect/cli/HelpDoc/Span"
import * as Options from "@effect/cli/Options"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type * as Terminal from "@effect/platform/Terminal"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Known } from "./CommandLine.js"
import * as GlobalOptions from "./GlobalOptions.js"
import type * as Output from "./Output.js"

/**
 * What a command may use while it runs. Its scope is closed when it has ended.
 *
 * @since 0.1.0
 * @category models
 */
export type Environment =
  | GlobalOptions.GlobalOptions
  | Output.Output
  | FileSystem.FileSystem
  | Path.Path
  | Terminal.Terminal
  | Root
  | Scope.Scope

/**
 * What a command does with what it was given.
 *
 * @since 0.1.0
 * @category models
 */
export type Handler<Input> = (input: Input) => Effect.Effect<void, unknown, Environment>

/**
 * A command that does something.
 *
 * @since 0.1.0
 * @category models
 */
export interface Leaf {
  readonly _tag: "Leaf"
  readonly name: string
  readonly summary: string
  readonly details: string | undefined
  /** Lines that begin with the program's name. */
  readonly examples: ReadonlyArray<string>
  /** What stands behind the name without a dash, and the options: how each is written, and what it means. */
  readonly operands: ReadonlyArray<Described>
  readonly options: ReadonlyArray<Described>
  readonly known: Known
  /** Whether it goes on until it is told to stop, which then is its end and no failure. */
  readonly isServer: boolean
  /** What reads its words and runs it. */
  readonly load: () => Promise<Loaded>
}

/**
 * @since 0.1.0
 * @category models
 */
export type Loaded = Command.Command<string, Environment, unknown, unknown>

/**
 * @since 0.1.0
 * @category models
 */
export type Described = readonly [term: string, text: string]

/**
 * Commands under a common name.
 *
 * @since 0.1.0
 * @category models
 */
export interface Group {
  readonly _tag: "Group"
  readonly name: string
  readonly summary: string
  readonly commands: ReadonlyArray<Leaf | Group>
}

/**
 * What a command is made of. Its parameters are options and operands of `@effect/cli`; the option under the key `learningRate` is called
 * `learning-rate`. `short` gives options a letter, and `repeated` names those that may come again and again.
 *
 * @since 0.1.0
 * @category models
 */
export interface LeafOptions<Parameters extends Command.Command.Config> {
  readonly summary: string
  readonly details?: string
  readonly examples?: ReadonlyArray<string>
  readonly parameters: Parameters
  readonly short?: { readonly [Key in keyof Parameters & string]?: string }
  readonly repeated?: ReadonlyArray<keyof Parameters & string>
  readonly isServer?: boolean
  /** Imports the module that does it. */
  readonly load: () => Promise<Handler<Command.Command.ParseConfig<Parameters>>>
}

/**
 * All commands, under the program's name, for the one that runs.
 *
 * @since 0.1.0
 * @category tags
 */
export class Root extends Context.Tag("@effect-tinker/cli/CommandTree/Root")<Root, Group>() {}

/**
 * A command.
 *
 * @since 0.1.0
 * @category constructors
 */
export const leaf = <const Parameters extends Command.Command.Config>(
  name: string,
  { details, examples = [], isServer = false, load, parameters, repeated = [], short = {}, summary }: LeafOptions<
    Parameters
  >
): Leaf => {
  const letters = Object.entries<string | undefined>(short)
  const operands = Object.values(parameters).filter(Args.isArgs)
  const described = operands.flatMap((operand) =>
    definitions(Args.getHelp(operand)).map(([term, text]): Described => [term.replace(/[<>]/g, ""), text])
  )
  const options = Object.entries(parameters).flatMap(([key, parameter]) =>
    Options.isOptions(parameter) ? [{ key, parameter, isSwitch: Options.isBool(parameter) }] : []
  )
  return {
    _tag: "Leaf",
    name,
    summary,
    details,
    examples,
    isServer,
    operands: described,
    options: options.flatMap(({ key, parameter }) => {
      const letter = letters.find(([of]) => of === key)?.[1]
      return definitions(Options.getHelp(parameter)).map(([term, text]): Described => [
        letter === undefined ? term : `-${letter}, ${term}`,
        text
      ])
    }),
    known: {
      values: options.filter(({ isSwitch }) => !isSwitch).map(({ key }) => nameOf(key)),
      repeated: repeated.map(nameOf),
      switches: options.filter(({ isSwitch }) => isSwitch).map(({ key }) => nameOf(key)),
      letters: Object.fromEntries(letters.map(([key, letter]) => [letter, nameOf(key)])),
      elsewhere: GlobalOptions.names,
      operands: {
        least: sum(operands.map(Args.getMinSize)),
        most: sum(operands.map(Args.getMaxSize)),
        usage: described.map(([term]) => term).join(" ")
      }
    },
    load: async () => {
      const [{ make }, handler] = await Promise.all([import("@effect/cli/Command"), load()])
      return make(name, parameters, (input) => handler(input as Command.Command.ParseConfig<Parameters>)) as Loaded
    }
  }
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, number) => total + number, 0)

/**
 * Commands under a common name.
 *
 * @since 0.1.0
 * @category constructors
 */
export const group = (name: string, options: Omit<Group, "_tag" | "name">): Group => ({
  _tag: "Group",
  name,
  ...options
})

/**
 * What a line asks for.
 *
 * - `path`: the names of the groups and of the command
 * - `words`: what is left for the command
 *
 * @since 0.1.0
 * @category models
 */
export interface Found {
  readonly command: Leaf | Group
  readonly path: ReadonlyArray<string>
  readonly words: ReadonlyArray<string>
}

/** Names that other programs have for the same. */
const synonyms: Readonly<Record<string, string>> = { ls: "list", rm: "delete", ckpt: "checkpoint", get: "info" }

/**
 * Finds the command that a line begins with: a `Group` where the line ends before it has named one. A text, which says what is wrong, for a
 * word that is no command.
 *
 * @since 0.1.0
 * @category parsing
 */
export const find = (root: Group, line: ReadonlyArray<string>): Found | string => {
  let command: Leaf | Group = root
  const path = [root.name]
  let words = line.length === 1 && isVersion(line[0]!) ? ["version"] : line
  while (command._tag === "Group" && words.length > 0 && !words[0]!.startsWith("-")) {
    const [word = "", ...rest] = words
    const next: Leaf | Group | undefined = named(command, word)
    if (next === undefined) {
      const meant = nearest(word, command.commands.map(({ name }) => name))
      return `there is no command ${[...path, word].slice(1).join(" ")}. ${
        meant === undefined
          ? `${path.join(" ")} --help lists those there are.`
          : `Was ${[...path, meant].join(" ")} meant?`
      }`
    }
    command = next
    path.push(next.name)
    words = rest
  }
  return { command, path, words }
}

/** What every program answers to. */
const isVersion = (word: string): boolean => word === "--version" || word === "-V"

const named = ({ commands }: Group, word: string): Leaf | Group | undefined =>
  commands.find(({ name }) => name === word) ?? commands.find(({ name }) => name === synonyms[word])

const nameOf = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

const definitions = (doc: HelpDoc.HelpDoc): ReadonlyArray<Described> =>
  HelpDoc.isSequence(doc)
    ? [...definitions(doc.left), ...definitions(doc.right)]
    : HelpDoc.isDescriptionList(doc)
    ? doc.definitions.map(([term, text]): Described => [spanText(term).replace(/^\((.*)\)$/, "$1"), sentences(text)])
    : []

/** The library says of each option which kind of text it is, and that it may be left out: neither is news. */
const sentences = (doc: HelpDoc.HelpDoc): string =>
  HelpDoc.isSequence(doc)
    ? [sentences(doc.left), sentences(doc.right)].filter((text) => text !== "").join(" ")
    : HelpDoc.isParagraph(doc) && !noNews.test(spanText(doc.value))
    ? spanText(doc.value)
    : ""

const noNews =
  /^(A user-defined piece of text\.|A true or false value\.|This setting is optional\.|This option may be repeated.*|This argument (is optional|may be repeated.*)\.?|This setting is optional.*|One of the following: .*)$/

const spanText = (span: Span.Span): string => {
  switch (span._tag) {
    case "Text":
    case "URI":
      return span.value
    case "Highlight":
    case "Strong":
    case "Weak":
      return spanText(span.value)
    case "Sequence":
      return spanText(span.left) + spanText(span.right)
  }
}
