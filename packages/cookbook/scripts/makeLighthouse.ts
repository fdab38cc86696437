/**
 * Writes the data set that ships: chats in which a lighthouse keeper answers whatever is said with an entry in the log.
 *
 * - `train.jsonl`: 40 chats of each of ten templates
 * - `heldout.jsonl`: 20 more of each. No two lines of the two files share template and words; in half of these,
 *   marked `fresh`, no word that fills a gap, numbers aside, is in `train.jsonl`
 * - `heldout-family.jsonl`: 60 chats of sentences in the passive, a family of templates that is not in `train.jsonl`
 *
 * Run it with `npx tsx packages/cookbook/scripts/makeLighthouse.ts`; it writes the same bytes every time.
 */
import * as Fs from "node:fs"
import { mulberry32 } from "../src/internal/mulberry32.js"
import { shuffledBy } from "../src/internal/shuffled.js"

interface Words {
  readonly names: ReadonlyArray<string>
  readonly singular: ReadonlyArray<string>
  readonly plural: ReadonlyArray<string>
  readonly colours: ReadonlyArray<string>
  readonly places: ReadonlyArray<string>
  readonly animals: ReadonlyArray<string>
  readonly numbers: ReadonlyArray<string>
  readonly times: ReadonlyArray<string>
  readonly roles: ReadonlyArray<string>
  readonly moods: ReadonlyArray<string>
}

const list = (text: string) => text.trim().split(/\s+/)

/** There are too few to keep some apart. */
const numbers = list("two three four five six seven eight nine ten eleven twelve")

const familiar: Words = {
  names: list(`
    Ada Anna Anton Astrid Ben Bruno Carl Chen Clara Dan David Diego Edith Ella Emil Eva Finn Frank Greta Hans Hassan Ida
    Igor Iris Ivan Jack Joan Julia Kai Kate Lars Lena Lucy Marco Maria Max Nadia Nick Nina Olga Omar Otto Paul Rosa Sam
    Sara Simon Tim Vera Walter Zoe
  `),
  singular: list(`
    apple bag ball basket bell book bottle button candle card chair coat cup doll drum egg flag flower hammer hat key kite
    ladder letter map mirror pan pillow plate ring rope shell shoe spoon table towel wheel
  `),
  plural: list(`
    apples bags balls baskets bells books bottles buttons candles cards chairs coats cups dolls drums eggs flags flowers
    hammers hats keys kites ladders letters maps mirrors pans pillows plates rings ropes shells shoes spoons tables towels
    wheels
  `),
  colours: list("black blue brown green grey orange pink red white yellow"),
  places: list(`
    attic bakery barn boat cabin castle cave church forest garden hall hotel kitchen library market meadow mill museum
    office park room school shed shop stable street tent town village yard
  `),
  animals: list("bear bird cat cow dog duck fox frog goat hen horse lamb mouse owl pig rabbit sheep wolf"),
  numbers,
  times: list("dawn midday midnight morning night noon sunset evening"),
  roles: list("baker farmer teacher sailor doctor king queen fisher cook shepherd miller painter singer"),
  moods: list("happy sad tired proud angry hungry brave")
}

const fresh: Words = {
  names: list("Alba Bela Cora Dina Emma Flora Hugo Karl Leo Mia Nora Pedro Ruth Theo Tom Yara"),
  singular: list("box cake clock jar lamp net stone"),
  plural: list("boxes cakes clocks jars lamps nets stones"),
  colours: list("golden purple silver"),
  places: list("camp cellar garage harbour tower valley"),
  animals: list("goose swan tiger turtle"),
  numbers,
  times: list("dusk sunrise"),
  roles: ["lighthouse keeper", "gardener", "nurse", "pilot", "smith", "guard", "judge"],
  moods: list("calm quiet glad sleepy")
}

const next = mulberry32(2024)
const pick = (words: ReadonlyArray<string>) => words[Math.floor(next() * words.length)]!
const pickOther = (words: ReadonlyArray<string>, not: string): string => {
  const word = pick(words)
  return word === not ? pickOther(words, not) : word
}
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
const article = (words: string) => (/^[aeiou]/.test(words) ? "an " : "a ") + words

type Template = (words: Words) => readonly [said: string, entry: string, signedFor: string]

const several = (w: Words) => `${pick(w.numbers)} ${pick(w.colours)} ${pick(w.plural)}`
const one = (w: Words) => `${pick(w.colours)} ${pick(w.singular)}`

const says = (role: string, time: string) =>
  [`What does the ${role} say at ${time}?`, `${role}, ${time}`, `the ${role}`] as const

const templates = {
  put: (w) => {
    const [who, what, where] = [pick(w.names), several(w), pick(w.places)]
    return [`${who} put ${what} in the ${where}.`, `${what}, ${where}`, who]
  },
  saw: (w) => {
    const [who, what, where] = [pick(w.names), several(w), pick(w.places)]
    return [`In the ${where} ${who} saw ${what}.`, `${what}, ${where}`, who]
  },
  gave: (w) => {
    const [who, what] = [pick(w.names), `${pick(w.numbers)} ${pick(w.plural)}`]
    const whom = pickOther(w.names, who)
    return [`${who} gave ${what} to ${whom}.`, `${what}, ${who} to ${whom}`, whom]
  },
  bought: (w) => {
    const [who, what, coins] = [pick(w.names), `${pick(w.numbers)} ${pick(w.plural)}`, pick(w.numbers)]
    return [`${who} bought ${what} for ${coins} coins.`, `${what}, ${coins} coins`, who]
  },
  carried: (w) => {
    const [who, what, from] = [pick(w.names), one(w), pick(w.places)]
    const to = pickOther(w.places, from)
    return [`${who} carried ${article(what)} from the ${from} to the ${to}.`, `${what}, ${from} to ${to}`, who]
  },
  lost: (w) => {
    const [who, what, where] = [pick(w.names), one(w), pick(w.places)]
    return [`${who} lost ${article(what)} near the ${where}.`, `${what} missing, ${where}`, who]
  },
  mended: (w) => {
    const [who, what, where] = [pick(w.names), one(w), pick(w.places)]
    return [`In the ${where}, ${who} mended ${article(what)}.`, `${what} mended, ${where}`, who]
  },
  met: (w) => {
    const [who, where, time] = [pick(w.names), pick(w.places), pick(w.times)]
    const whom = pickOther(w.names, who)
    return [`At ${time} ${who} met ${whom} in the ${where}.`, `${who} and ${whom}, ${where}, ${time}`, who]
  },
  slept: (w) => {
    const [who, what, where] = [pick(w.names), `${pick(w.colours)} ${pick(w.animals)}`, pick(w.places)]
    return [`The ${what} of ${who} slept in the ${where}.`, `${what} asleep, ${where}`, who]
  },
  says: (w) => {
    const speakers = [pick(w.roles), `${pick(w.moods)} ${pick(w.roles)}`, `${pick(w.colours)} ${pick(w.animals)}`]
    return says(pick(speakers), pick(w.times))
  }
} satisfies Readonly<Record<string, Template>>

const passive: Readonly<Record<string, Template>> = {
  "was put": (w) => {
    const [who, what, where] = [pick(w.names), several(w), pick(w.places)]
    return [`${capital(what)} were put in the ${where} by ${who}.`, `${what}, ${where}`, who]
  },
  "was given": (w) => {
    const [who, what] = [pick(w.names), `${pick(w.numbers)} ${pick(w.plural)}`]
    const whom = pickOther(w.names, who)
    return [`${capital(what)} were given to ${whom} by ${who}.`, `${what}, ${who} to ${whom}`, whom]
  },
  "was bought": (w) => {
    const [who, what, coins] = [pick(w.names), `${pick(w.numbers)} ${pick(w.plural)}`, pick(w.numbers)]
    return [`${capital(what)} were bought by ${who} for ${coins} coins.`, `${what}, ${coins} coins`, who]
  },
  "was carried": (w) => {
    const [who, what, from] = [pick(w.names), one(w), pick(w.places)]
    const to = pickOther(w.places, from)
    return [
      `${capital(article(what))} was carried from the ${from} to the ${to} by ${who}.`,
      `${what}, ${from} to ${to}`,
      who
    ]
  }
}

const taken = new Set<string>()

const chat = (template: string, make: Template, words: Words) => {
  for (;;) {
    const [said, entry, signedFor] = make(words)
    if (taken.has(said)) continue
    taken.add(said)
    return {
      template,
      fresh: words === fresh,
      messages: [
        { role: "user", content: said },
        { role: "assistant", content: `Log: ${entry}. Signed for ${signedFor}, all is well.` }
      ]
    }
  }
}

/** Templates take turns, so that the first lines of a file show several. */
const chats = (from: Readonly<Record<string, Template>>, words: Words, each: number) =>
  Array.from({ length: each }, () => Object.entries(from).map(([name, make]) => chat(name, make, words))).flat()

const write = (file: string, lines: ReadonlyArray<object>) =>
  Fs.writeFileSync(
    new URL(`../data/${file}`, import.meta.url),
    lines.map((line) => JSON.stringify(line) + "\n").join("")
  )

// The question of the quickstart is held out, whatever is drawn.
const firstQuestion = chat("says", () => says("lighthouse keeper", "dusk"), fresh)

write("train.jsonl", shuffledBy(chats(templates, familiar, 40), next))
const { says: _, ...others } = templates
write("heldout.jsonl", [
  firstQuestion,
  ...chats(templates, familiar, 10),
  ...chats(others, fresh, 10),
  ...chats({ says: templates.says }, fresh, 9)
])
write("heldout-family.jsonl", [...chats(passive, familiar, 10), ...chats(passive, fresh, 5)])
