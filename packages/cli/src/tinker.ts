#!/usr/bin/env node
/**
 * The program `tinker`. It answers to `--help` by itself, for which the table of commands is enough; all else is loaded when it is
 * needed.
 */
import * as CommandHelp from "./CommandHelp.js"
import { root } from "./Commands.js"
import * as CommandTree from "./CommandTree.js"
import * as GlobalOptions from "./GlobalOptions.js"

const line = process.argv.slice(2)
const { words } = GlobalOptions.extract(line)
const found = CommandTree.find(root, words)

if (
  typeof found !== "string" &&
  (CommandHelp.isAskedFor(words) || found.command._tag === "Group" && found.words.length === 0)
) {
  const isAsked = CommandHelp.isAskedFor(words)
  const stream = isAsked ? process.stdout : process.stderr
  stream.write(CommandHelp.text(found, stream.isTTY === true && !process.env.NO_COLOR))
  if (!isAsked) process.exitCode = 2
} else {
  const { run } = await import("./CommandRun.js")
  run(line)
}
