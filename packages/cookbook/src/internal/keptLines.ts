import type { LineMark } from "./marks.js"

/** Tells which lines are none to train on, by all that their marks say, and by what command the others are kept. */
export interface KeptLines {
  /** Takes the marks of one more line. */
  readonly add: (marks: ReadonlyArray<LineMark>) => void
  /** What to do, of so many lines, where any is marked. A command ends at a line that is no JSON. */
  readonly advice: (totalLines: number, isMalformed: boolean) => string | undefined
}

/** All the values that a key has in lines that are none to train on, as JSON, each once. */
interface MarkedKey {
  readonly path: ReadonlyArray<string>
  readonly test: string | undefined
  readonly values: Set<string>
  /** Whether a value cannot be told. */
  hasOthers: boolean
}

/** So many keys, and values of each, are told. */
const most = { keys: 10, values: 10 }

export const makeKeptLines = (): KeptLines => {
  const keys = new Map<string, MarkedKey>()
  let markedLines = 0

  const add = ({ path, test, value }: LineMark): void => {
    const name = JSON.stringify(path)
    const key = keys.get(name) ?? { path, test, values: new Set<string>(), hasOthers: false }
    if (keys.size <= most.keys) keys.set(name, key)
    if (value === undefined) key.hasOthers = true
    else if (key.values.size <= most.values) key.values.add(value)
  }

  return {
    add: (marks) => {
      if (marks.length > 0) markedLines += 1
      marks.forEach(add)
    },
    advice: (totalLines, isMalformed) => {
      if (markedLines === 0) return undefined
      if (markedLines === totalLines) {
        return totalLines === 1
          ? "It is the only line, so none is left to train on."
          : "All lines say that they are for tests or to be left out, so none is left to train on."
      }
      const tests = Array.from(keys.values(), testOf)
      return tests.length > most.keys || tests.includes(undefined)
        ? "The lines without such marks are best kept by a program of your own: what the others say is too much for a command."
        : `${isMalformed ? "Once each line is JSON, the" : "The"} lines without such marks are kept by jq -c 'select([${
          tests.join(", ")
        }] | any | not)'.`
    }
  }
}

/** What `jq` finds the lines by that one key marks; of a line that has no such key it gives false, or nothing. */
const testOf = ({ hasOthers, path, test, values }: MarkedKey): string | undefined => {
  if (!path.every(canBeTold)) return undefined
  const place = path.map((key, i) => (i === 0 ? "." : "") + placeOf(key, i)).join("")
  if (hasOthers || values.size > most.values) return test === undefined ? undefined : `(${place} | ${test})`
  const [first, ...others] = Array.from(values, quoted)
  return `${place} == ${others.length === 0 ? first : `(${[first, ...others].join(", ")})`}`
}

const canBeTold = (key: string): boolean => key.length <= 40 && !/\p{C}/u.test(key)

/** Within what is no object, nothing is found. */
const placeOf = (key: string, depth: number): string =>
  /^[A-Za-z_]\w*$/.test(key) ? `${depth === 0 ? "" : "."}${key}?` : `[${quoted(JSON.stringify(key))}]?`

/** JSON that may stand between single quotes of a shell. */
const quoted = (json: string): string => json.replaceAll("'", "\\u0027")
