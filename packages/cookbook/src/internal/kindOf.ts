import type { Issue } from "../DatasetError.js"

/** What is the same for the same mistake, wherever in a line it is, and whatever name it is about; but for keys that may be left out. */
export const kindOf = ({ description, file, keys, reason }: Issue): string =>
  JSON.stringify([file, reason, keys, description.replace(/"(?:[^"\\]|\\.)*"/g, "\"\"").replace(/\d+/g, "0")])

/** So many kinds are told from each other. */
export const mostKinds = 100
