/**
 * Whether a regular expression can take a time that doubles with every character of a text that it does not fit. JavaScript cannot
 * stop an expression that runs, so such a one must not begin.
 *
 * That is so when a part that is repeated can read one and the same text in two ways. Of the expression only its positions are
 * looked at: which characters stand at each, and which may follow which, and by how many ways. Two ways from a position to the next
 * inside a repetition, or two paths that read the same and meet again, are such a part.
 *
 * Source: Weideman et al. 2016, "Analyzing Matching Time Behavior of Backtracking Regular Expression Matchers", section 4.
 */
export const backtracksExponentially = (source: string): boolean => {
  const reader = new Reader(source)
  reader.whole()
  return reader.isTooLarge || isAmbiguous(reader)
}

/** What may come first and last in a part, each with the number of ways, and in how many ways it may be empty. */
interface Part {
  readonly empty: number
  readonly first: ReadonlyMap<number, number>
  readonly last: ReadonlyMap<number, number>
}

const nothing: Part = { empty: 1, first: new Map(), last: new Map() }

/** The number of ways, or 2: more than two tell nothing more. */
const capped = (ways: number): number => Math.min(ways, 2)

const sum = (a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>, times: number) => {
  if (times === 0) return a
  const all = new Map(a)
  for (const [position, ways] of b) all.set(position, capped((all.get(position) ?? 0) + ways * times))
  return all
}

/** A number of repetitions that is as good as any. */
const many = 6

/** No pattern of a tokenizer has more positions than these, or groups in groups. */
const mostPositions = 400
const mostDepth = 50

/** No pattern of a tokenizer has more positions than these in one repetition. */
const mostInside = 64

class Reader {
  /** Characters that may stand at each position, by their place in the sample. */
  readonly characters: Array<Uint8Array> = []
  /** The positions that may follow each position, with the number of ways. */
  readonly follows: Array<Map<number, number>> = []
  isTooLarge = false
  private depth = 0
  private readonly source: ReadonlyArray<string>
  private at = 0

  constructor(source: string) {
    this.source = Array.from(source)
  }

  whole(): void {
    // An end of a group too many is read over.
    while (this.at < this.source.length) {
      this.alternatives()
      this.at += 1
    }
  }

  private alternatives(): Part {
    let part = this.sequence()
    while (this.source[this.at] === "|") {
      this.at += 1
      const other = this.sequence()
      part = {
        empty: capped(part.empty + other.empty),
        first: sum(part.first, other.first, 1),
        last: sum(part.last, other.last, 1)
      }
    }
    return part
  }

  private sequence(): Part {
    let part = nothing
    while (this.at < this.source.length && this.source[this.at] !== "|" && this.source[this.at] !== ")") {
      part = this.joined(part, this.repeated())
    }
    return part
  }

  private joined(left: Part, right: Part): Part {
    this.link(left.last, right.first)
    return {
      empty: capped(left.empty * right.empty),
      first: sum(left.first, right.first, left.empty),
      last: sum(right.last, left.last, right.empty)
    }
  }

  private link(from: ReadonlyMap<number, number>, to: ReadonlyMap<number, number>): void {
    for (const [position, ways] of from) {
      this.follows[position] = sum(this.follows[position]!, to, ways) as Map<number, number>
    }
  }

  private repeated(): Part {
    const start = this.at
    let part = this.single()
    for (let times = this.quantifier(); times !== undefined; times = this.quantifier()) {
      const behind = this.at
      const [least, most] = times
      if (most > many) {
        this.link(part.last, part.first)
        part = { ...part, empty: least === 0 ? 1 : part.empty }
      } else if (most === 0) part = nothing
      else {
        // Written out, each time with positions of its own; what may be missing is missing at the end.
        const copies = [part]
        while (copies.length < most && !this.isTooLarge) {
          this.at = start
          copies.push(this.single())
        }
        part = nothing
        for (let i = most - 1; i >= 0; i--) {
          part = this.joined(copies[i] ?? nothing, part)
          if (i >= least) part = { ...part, empty: 1 }
        }
        if (!this.isTooLarge) this.at = behind
      }
    }
    return part
  }

  /** How often a part is repeated, at least and at most. A mark behind it says which way is tried first, which changes nothing here. */
  private quantifier(): readonly [least: number, most: number] | undefined {
    const rest = this.source.slice(this.at, this.at + 16).join("")
    const found = /^(?:[*+?]|\{(\d*)(,?)(\d*)\})[?+]?/.exec(rest)
    if (found === null || found[0].startsWith("{}") || found[0].startsWith("{,}")) return undefined
    this.at += found[0].length
    if (found[0].startsWith("*")) return [0, Infinity]
    if (found[0].startsWith("+")) return [1, Infinity]
    if (found[0].startsWith("?")) return [0, 1]
    const least = Number(found[1])
    return [least, found[2] === "" ? least : found[3] === "" ? Infinity : Number(found[3])]
  }

  private single(): Part {
    const start = this.at
    const character = this.source[this.at++]!
    if (character === "(") return this.group()
    if (character === "^" || character === "$") return nothing
    if (character === "\\") return this.escape(start)
    if (character === "[") this.skipClass()
    return this.position(this.source.slice(start, this.at).join(""))
  }

  private group(): Part {
    const rest = this.source.slice(this.at, this.at + 80).join("")
    const comment = /^\?#[^)]*/.exec(rest)?.[0]
    const kind = comment ?? /^\?(?:<[\w]+>|<?[=!]|>|[\w-]*:?)/.exec(rest)?.[0] ?? ""
    this.at += kind.length
    this.depth += 1
    if (this.depth > mostDepth) this.stop()
    const part = this.alternatives()
    this.depth -= 1
    if (this.source[this.at] === ")") this.at += 1
    // What is looked for around a place takes no part in what is read there.
    return /^\?<?[=!]$/.test(kind) || comment !== undefined ? nothing : part
  }

  private escape(start: number): Part {
    const character = this.source[this.at++] ?? ""
    const rest = () => this.source.slice(this.at, this.at + 60).join("")
    if (/[bBAzZG]/.test(character)) return nothing
    if (/[pPx]/.test(character)) this.at += /^(?:\{[^}]*\}|[0-9a-fA-F]{2})?/.exec(rest())![0].length
    else if (character === "u") this.at += /^(?:\{[^}]*\}|[0-9a-fA-F]{4})?/.exec(rest())![0].length
    return this.position(this.source.slice(start, this.at).join(""))
  }

  /** Reads over a class, which may hold others. */
  private skipClass(): void {
    if (this.source[this.at] === "^") this.at += 1
    if (this.source[this.at] === "]") this.at += 1
    for (let depth = 1; depth > 0 && this.at < this.source.length; this.at++) {
      const character = this.source[this.at]
      if (character === "\\") this.at += 1
      else if (character === "[") depth += 1
      else if (character === "]") depth -= 1
    }
  }

  private stop(): void {
    this.isTooLarge = true
    this.at = this.source.length
  }

  private position(atom: string): Part {
    const index = this.characters.length
    if (index >= mostPositions) this.stop()
    this.characters.push(charactersOf(atom))
    this.follows.push(new Map())
    return { empty: 0, first: new Map([[index, 1]]), last: new Map([[index, 1]]) }
  }
}

/** Characters of every kind that patterns tell apart. */
const sample: ReadonlyArray<string> = [
  ...Array.from({ length: 0x250 }, (_, code) => String.fromCodePoint(code)),
  ...Array.from("αЖאعहก一あア가𐐀𝒜🙂 \u2028\u0301\u200d\ufe0f١४Ⅷ，。《€≠ʼ")
]

const everything = new Uint8Array(sample.length).fill(1)

const known = new Map<string, Uint8Array>()

/** The characters that an atom fits. What cannot be told, as it is written for another language, may be anything. */
const charactersOf = (atom: string): Uint8Array => {
  const found = known.get(atom)
  if (found !== undefined) return found
  let characters = everything
  try {
    const pattern = new RegExp(`^(?:${atom})$`, "isu")
    characters = Uint8Array.from(sample, (character) => pattern.test(character) ? 1 : 0)
  } catch {
    // It stays so.
  }
  if (known.size < 1000) known.set(atom, characters)
  return characters
}

const isAmbiguous = ({ characters, follows }: Reader): boolean => {
  const count = characters.length
  const components = componentsOf(count, (position) => Array.from(follows[position]!.keys()))
  const sizes = new Map<number, number>()
  for (const component of components) sizes.set(component, (sizes.get(component) ?? 0) + 1)
  if (Array.from(sizes.values()).some((size) => size > mostInside)) return true
  const inside = (from: number, to: number) => components[from] === components[to]
  for (let from = 0; from < count; from++) {
    for (const [to, ways] of follows[from]!) if (ways > 1 && inside(from, to)) return true
  }
  // Pairs of places where two paths that have read the same may be.
  const meets = new Map<number, boolean>()
  const together = (a: number, b: number): boolean => {
    const key = a * count + b
    const found = meets.get(key)
    if (found !== undefined) return found
    const both = characters[a]!.some((one, i) => one === 1 && characters[b]![i] === 1)
    meets.set(key, both)
    return both
  }
  const next = (pair: number): ReadonlyArray<number> => {
    const a = Math.floor(pair / count)
    const b = pair % count
    const found: Array<number> = []
    if (!inside(a, b)) return found
    for (const p of follows[a]!.keys()) {
      if (!inside(a, p)) continue
      for (const q of follows[b]!.keys()) if (inside(b, q) && together(p, q)) found.push(p * count + q)
    }
    return found
  }
  const pairs = componentsOf(count * count, next)
  const meeting = new Set<number>()
  for (let i = 0; i < count; i++) if (next(i * count + i).length > 0) meeting.add(pairs[i * count + i]!)
  for (let a = 0; a < count; a++) {
    for (let b = 0; b < count; b++) if (a !== b && meeting.has(pairs[a * count + b]!)) return true
  }
  return false
}

/** A number for each place, the same for those that can be reached from each other. Source: Tarjan's algorithm. */
const componentsOf = (count: number, next: (place: number) => ReadonlyArray<number>): Int32Array => {
  const component = new Int32Array(count).fill(-1)
  const order = new Int32Array(count).fill(-1)
  const low = new Int32Array(count)
  const open: Array<number> = []
  let visited = 0
  let components = 0
  for (let root = 0; root < count; root++) {
    if (order[root] !== -1) continue
    const path: Array<{ readonly place: number; readonly followers: ReadonlyArray<number>; at: number }> = []
    const enter = (place: number) => {
      order[place] = low[place] = visited++
      open.push(place)
      path.push({ place, followers: next(place), at: 0 })
    }
    enter(root)
    while (path.length > 0) {
      const top = path[path.length - 1]!
      if (top.at < top.followers.length) {
        const follower = top.followers[top.at++]!
        if (order[follower] === -1) enter(follower)
        else if (component[follower] === -1) low[top.place] = Math.min(low[top.place]!, order[follower]!)
        continue
      }
      path.pop()
      const before = path[path.length - 1]
      if (before !== undefined) low[before.place] = Math.min(low[before.place]!, low[top.place]!)
      if (low[top.place] !== order[top.place]) continue
      for (let place = -1; place !== top.place;) {
        place = open.pop()!
        component[place] = components
      }
      components += 1
    }
  }
  return component
}
