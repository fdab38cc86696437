#!/usr/bin/env node
/**
 * The program `tinker`. It answers to `--help` by itself, for which the table of commands is enough; all else is loaded when it is
 * needed.
 */
import * as CommandHelp from "./CommandHelp.js"
import { root } from "./Commands.js"
import * as CommandTree from "./CommandTree.js"
import * as Entry from "./Entry.js"
import * as GlobalOptions from "./GlobalOptions.js"

const main = async (line: ReadonlyArray<string>): Promise<void> => {
  const { words } = GlobalOptions.extract(line)
  const found = CommandTree.find(root, words)
  const isAsked = CommandHelp.isAskedFor(words)
  const isWithoutCommand = typeof found !== "string" && found.command._tag === "Group" && found.words.length === 0
  if (typeof found === "string" || !(isAsked || isWithoutCommand)) {
    const { run } = await import("./CommandRun.js")
    return run(line)
  }
  const stream = isAsked ? process.stdout : process.stderr
  stream.write(CommandHelp.text(found, stream.isTTY === true && !process.env.NO_COLOR))
  if (!isAsked) process.exitCode = 2
}

if (Entry.isEntry(import.meta.url)) await main(process.argv.slice(2))
