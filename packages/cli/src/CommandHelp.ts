/**
 * What `--help` writes.
 */
import { root } from "./Commands.js"
import * as CommandTree from "./CommandTree.js"
import * as GlobalOptions from "./GlobalOptions.js"

/**
 * Writes the help that a line asks for: that of the command which it names, wherever in it the word stands. Whatever else is wrong with the
 * line is of no account.
 *
 * @since 0.1.0
 * @category utils
 */
export const print = (line: ReadonlyArray<string>): void => {
  const { words } = GlobalOptions.extract(line)
  const found = CommandTree.find(root, words.filter((word) => !word.startsWith("-")))
  const { stdout } = process
  if (typeof found === "string") {
    process.stderr.write(`error: ${found}\n`)
    process.exitCode = 2
  } else stdout.write(text(found, stdout.isTTY === true && !process.env.NO_COLOR))
}

/**
 * The help of a group, which lists its commands, or of a command, which lists what it takes.
 *
 * @since 0.1.0
 * @category rendering
 */
export const text = ({ command, path }: Pick<CommandTree.Found, "command" | "path">, isColored: boolean): string => {
  const bold = (title: string) => isColored ? `\u001B[1m${title}\u001B[22m` : title
  const name = path.join(" ")
  const section = (title: string, rows: ReadonlyArray<CommandTree.Described>) =>
    rows.length === 0 ? [] : [`${bold(title)}\n${list(rows)}`]
  const parts = command._tag === "Group"
    ? [
      wrapped(command.summary, ""),
      `${bold("Usage")}\n  ${name} command [options]`,
      ...section("Commands", command.commands.map((one): CommandTree.Described => [namesBelow(one), one.summary])),
      `${name} command --help says what a command takes.`
    ]
    : [
      wrapped([command.summary, command.details ?? ""].join(" ").trim(), ""),
      `${bold("Usage")}\n  ${[name, ...command.operands.map(([term]) => term), "[options]"].join(" ")}`,
      ...section("Arguments", command.operands),
      ...section("Options", command.options),
      ...section("Options of every command", GlobalOptions.described),
      ...(command.examples.length === 0
        ? []
        : [`${bold("Examples")}\n${command.examples.map((example) => `  ${example}`).join("\n")}`])
    ]
  return `${parts.join("\n\n")}\n`
}

const namesBelow = (command: CommandTree.Leaf | CommandTree.Group): string =>
  command._tag === "Leaf" ? command.name : `${command.name} …`

/** Terms of up to this many characters have their text beside them. */
const longestBeside = 26

/** Characters that every terminal has room for. */
const lineLength = 80

const list = (rows: ReadonlyArray<CommandTree.Described>): string => {
  const width = Math.min(longestBeside, Math.max(...rows.map(([term]) => term.length)))
  return rows.map(([term, text]) => {
    const body = wrapped(text, " ".repeat(width + 4))
    return term.length > width ? `  ${term}\n${body}` : `  ${term.padEnd(width)}  ${body.trimStart()}`
  }).join("\n")
}

const wrapped = (text: string, indent: string): string => {
  const lines: Array<string> = []
  for (const word of text.split(" ")) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= lineLength) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(indent + word)
  }
  return lines.join("\n")
}
