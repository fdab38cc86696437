#!/usr/bin/env node
/**
 * The program `tinker`. What it needs is loaded once it is known what is asked for: for help that is the table of commands alone.
 */
import module from "node:module"
import * as Entry from "./Entry.js"

const isHelp = (word: string): boolean => word === "--help" || word === "-h"

const main = async (line: ReadonlyArray<string>): Promise<void> => {
  // What Node has compiled once it need not compile again; those before 22 do not have it.
  if ("enableCompileCache" in module) (module.enableCompileCache as () => void)()
  const end = line.indexOf("--")
  if (line.slice(0, end === -1 ? line.length : end).some(isHelp)) (await import("./CommandHelp.js")).print(line)
  else (await import("./CommandRun.js")).run(line)
}

if (Entry.isEntry(import.meta.url)) void main(process.argv.slice(2))
