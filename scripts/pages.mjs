// Pages of documentation: their blocks of code, and their links.
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"

/** Every fenced block: the word behind the fence, what is in it, and the line it begins at. */
export const blocksOf = (page) =>
  Array.from(readFileSync(page, "utf8").matchAll(/^```(\w*)\n([^]*?)^```$/gm), ({ 1: language, 2: code, index, input }) => ({
    language,
    code,
    line: input.slice(0, index).split("\n").length
  }))

/** Links to files that are not there. */
export const deadLinksOf = (page) =>
  Array.from(readFileSync(page, "utf8").matchAll(/\]\((?!\w+:|#)([^)#]+)(?:#[^)]*)?\)/g), ([, path]) => path)
    .filter((path) => !existsSync(join(dirname(page), path)))
