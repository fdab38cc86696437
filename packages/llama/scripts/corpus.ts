/**
 * Simple English made by rules: little events told in several wordings, stories of such events, questions about them,
 * lists, sums and chats. Every document says most of its words at least twice, because what a small model must learn
 * first is to take a word from what it has read.
 *
 * A document is a list of pieces that are encoded one by one; in chats the pieces are those of the role renderer.
 */
import {
  animals,
  colours,
  feelings,
  invented,
  names,
  numbers,
  places,
  professions,
  things,
  times,
  weathers
} from "./corpusWords.js"

export type Document = ReadonlyArray<string>

/** A stream of pseudo-random choices; the same seed gives the same choices. */
export interface Random {
  readonly next: () => number
  readonly below: (n: number) => number
  readonly chance: (probability: number) => boolean
  readonly pick: <A>(list: ReadonlyArray<A>) => A
}

/** Mulberry32: 32 bits of state, enough for text. */
export const makeRandom = (seed: number): Random => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = (n: number) => Math.floor(next() * n)
  return { next, below, chance: (p) => next() < p, pick: (list) => list[below(list.length)]! }
}

/** One thing that happened: ways to tell it, questions with answers, and what a friendly listener might reply. */
interface Event {
  readonly told: ReadonlyArray<string>
  readonly asked: ReadonlyArray<readonly [question: string, answer: string]>
  readonly replies: ReadonlyArray<string>
  readonly fields: ReadonlyArray<readonly [field: string, value: string]>
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

const article = (words: string) => (/^[aeiou]/.test(words) ? "an " : "a ") + words

interface Cast {
  readonly person: () => string
  readonly place: () => string
  readonly random: Random
}

/** A few people and places that a document keeps coming back to. With `roles`, some people are called by what they are. */
const makeCast = (random: Random, size: number, roles: boolean): Cast => {
  const name = () => {
    if (roles && random.chance(0.3)) return aRole(random)
    return random.chance(0.15) ? capital(invented(random.pick, 1 + random.below(2))) : random.pick(names)
  }
  const people = Array.from({ length: size }, name)
  const spots = Array.from({ length: size }, () => random.chance(0.08) ? invented(random.pick, 2) : random.pick(places))
  return { random, person: () => random.pick(people), place: () => random.pick(spots) }
}

const aRole = (random: Random): string =>
  `the ${random.chance(0.3) ? random.pick(feelings) + " " : ""}${random.pick(professions)[0]}`

const other = (make: () => string, random: Random, list: ReadonlyArray<string>, not: string): string => {
  const made = make()
  if (made !== not) return made
  const index = list.indexOf(not)
  return list[(index + 1 + random.below(list.length - 1)) % list.length]!
}

const thing = (random: Random): readonly [string, string] => {
  if (!random.chance(0.08)) return random.pick(things)
  const word = invented(random.pick, 1 + random.below(2))
  return [word, word + "s"]
}

const placing = (cast: Cast): Event => {
  const { random } = cast
  const who = cast.person()
  const where = cast.place()
  const number = random.pick(numbers)
  const colour = random.pick(colours)
  const [, many] = thing(random)
  const verb = random.pick(["put", "left", "hid", "kept", "stored", "placed", "found", "saw", "counted", "noticed"])
  const participle = verb === "hid" ? "hidden" : verb === "saw" ? "seen" : verb
  const base = {
    put: "put",
    left: "leave",
    hid: "hide",
    kept: "keep",
    stored: "store",
    placed: "place",
    found: "find",
    saw: "see",
    counted: "count",
    noticed: "notice"
  }[verb]!
  const what = `${number} ${colour} ${many}`
  return {
    told: [
      `${who} ${verb} ${what} in the ${where}.`,
      `In the ${where}, ${who} ${verb} ${what}.`,
      `In the ${where} ${who} ${verb} ${what}.`,
      `${capital(what)} were ${participle} in the ${where} by ${who}.`,
      `It was ${who} who ${verb} ${what} in the ${where}.`,
      `There were ${what} in the ${where}. ${who} ${verb} them there.`,
      `The ${many} that ${who} ${verb} in the ${where} were ${colour}. There were ${number}.`
    ],
    asked: [
      [`Who ${verb} the ${many} in the ${where}?`, `${who}.`],
      [`Who ${verb} the ${many}?`, `${who} ${verb} the ${many}.`],
      [`Where did ${who} ${base} the ${many}?`, `In the ${where}.`],
      [`Where were the ${many}?`, `The ${many} were in the ${where}.`],
      [`What did ${who} ${base} in the ${where}?`, `${capital(what)}.`],
      [`What did ${who} ${base}?`, `${who} ${verb} ${what}.`],
      [`How many ${many} were there?`, `There were ${number} ${many}.`],
      [`How many ${many} did ${who} ${base}?`, `${capital(number)}.`],
      [`What colour were the ${many}?`, `They were ${colour}.`],
      [`What colour were the ${many} in the ${where}?`, `${capital(colour)}.`]
    ],
    replies: [
      `That is nice. I will look for the ${many} in the ${where}.`,
      `Thank you. So there are ${what} in the ${where}.`,
      `I see. ${who} likes the ${where}.`,
      `Why did ${who} ${base} the ${colour} ${many} there?`,
      `Good. ${capital(number)} ${many} are enough for ${who}.`
    ],
    fields: [["name", who], ["number", number], ["colour", colour], ["things", many], ["place", where]]
  }
}

const giving = (cast: Cast): Event => {
  const { random } = cast
  const who = cast.person()
  const whom = other(cast.person, random, names, who)
  const number = random.pick(numbers)
  const colour = random.chance(0.5) ? random.pick(colours) + " " : ""
  const [, many] = thing(random)
  const verb = random.pick(["gave", "sent", "sold", "handed", "lent", "showed"])
  const participle = {
    gave: "given",
    sent: "sent",
    sold: "sold",
    handed: "handed",
    lent: "lent",
    showed: "shown"
  }[verb]!
  const base = { gave: "give", sent: "send", sold: "sell", handed: "hand", lent: "lend", showed: "show" }[verb]!
  const what = `${number} ${colour}${many}`
  return {
    told: [
      `${who} ${verb} ${what} to ${whom}.`,
      `${who} ${verb} ${whom} ${what}.`,
      `${capital(what)} were ${participle} to ${whom} by ${who}.`,
      `${whom} got ${what} from ${who}.`,
      `It was ${who} who ${verb} ${what} to ${whom}.`,
      `From ${who}, ${whom} got ${what}.`
    ],
    asked: [
      [`Who ${verb} the ${many}?`, `${who}.`],
      [`Who got the ${many}?`, `${whom} got the ${many}.`],
      [`To whom did ${who} ${base} the ${many}?`, `To ${whom}.`],
      [`From whom did ${whom} get the ${many}?`, `From ${who}.`],
      [`What did ${whom} get from ${who}?`, `${capital(what)}.`],
      [`How many ${many} did ${whom} get?`, `${whom} got ${number} ${many}.`]
    ],
    replies: [
      `That was kind of ${who}.`,
      `Did ${whom} like the ${many}?`,
      `I see. Now ${whom} has ${what}.`,
      `${whom} can use the ${many} well.`
    ],
    fields: [["from", who], ["to", whom], ["number", number], ["things", many]]
  }
}

const buying = (cast: Cast): Event => {
  const { random } = cast
  const who = cast.person()
  const number = random.pick(numbers)
  const coins = random.pick(numbers)
  const [, many] = thing(random)
  const what = `${number} ${many}`
  return {
    told: [
      `${who} bought ${what} for ${coins} coins.`,
      `For ${coins} coins, ${who} bought ${what}.`,
      `${who} paid ${coins} coins for ${what}.`,
      `${capital(what)} were bought by ${who} for ${coins} coins.`,
      `The ${what} cost ${who} ${coins} coins.`
    ],
    asked: [
      [`Who bought the ${many}?`, `${who} bought the ${many}.`],
      [`What did ${who} buy?`, `${capital(what)}.`],
      [`How many coins did ${who} pay?`, `${who} paid ${coins} coins.`],
      [`How much did the ${many} cost?`, `${capital(coins)} coins.`],
      [`How many ${many} did ${who} buy?`, `${capital(number)}.`]
    ],
    replies: [
      `${capital(coins)} coins is a fair price.`,
      `What will ${who} do with ${what}?`,
      `I hope the ${many} are good.`,
      `I see. ${who} has ${what} now.`
    ],
    fields: [["name", who], ["number", number], ["things", many], ["coins", coins]]
  }
}

const moving = (cast: Cast): Event => {
  const { random } = cast
  const who = cast.person()
  const from = cast.place()
  const to = other(cast.place, random, places, from)
  const colour = random.pick(colours)
  const [one] = thing(random)
  const verb = random.pick(["carried", "took", "brought", "pushed", "dragged"])
  const participle = verb === "took" ? "taken" : verb
  const base = { carried: "carry", took: "take", brought: "bring", pushed: "push", dragged: "drag" }[verb]!
  const what = `${colour} ${one}`
  return {
    told: [
      `${who} ${verb} ${article(what)} from the ${from} to the ${to}.`,
      `From the ${from} to the ${to}, ${who} ${verb} ${article(what)}.`,
      `${capital(article(what))} was ${participle} from the ${from} to the ${to} by ${who}.`,
      `${who} ${verb} the ${what} out of the ${from} and into the ${to}.`,
      `It was ${who} who ${verb} the ${what} from the ${from} to the ${to}.`
    ],
    asked: [
      [`Who ${verb} the ${one}?`, `${who} ${verb} the ${one}.`],
      [`What did ${who} ${base} to the ${to}?`, `${capital(article(what))}.`],
      [`Where is the ${one} now?`, `The ${one} is in the ${to}.`],
      [`Where was the ${one} before?`, `It was in the ${from}.`],
      [`What colour is the ${one}?`, `The ${one} is ${colour}.`]
    ],
    replies: [
      `So the ${what} is in the ${to} now.`,
      `The ${to} is a good place for ${article(one)}.`,
      `Was the ${one} heavy for ${who}?`,
      `I see. It is no more in the ${from}.`
    ],
    fields: [["name", who], ["colour", colour], ["thing", one], ["from", from], ["to", to]]
  }
}

const having = (cast: Cast): Event => {
  const { random } = cast
  const who = cast.person()
  const where = cast.place()
  const colour = random.pick(colours)
  const [one] = thing(random)
  const verb = random.pick(["lost", "painted", "broke", "mended", "cleaned", "made", "dropped"])
  const participle = verb === "broke" ? "broken" : verb
  const base = {
    lost: "lose",
    painted: "paint",
    broke: "break",
    mended: "mend",
    cleaned: "clean",
    made: "make",
    dropped: "drop"
  }[verb]!
  const what = `${colour} ${one}`
  return {
    told: [
      `${who} ${verb} ${article(what)} in the ${where}.`,
      `${who} ${verb} ${article(what)} near the ${where}.`,
      `In the ${where}, ${who} ${verb} ${article(what)}.`,
      `Near the ${where} ${who} ${verb} ${article(what)}.`,
      `${capital(article(what))} was ${participle} by ${who} in the ${where}.`,
      `The ${one} that ${who} ${verb} in the ${where} was ${colour}.`
    ],
    asked: [
      [`Who ${verb} the ${one}?`, `${who}.`],
      [`What did ${who} ${base}?`, `${who} ${verb} ${article(what)}.`],
      [`What did ${who} ${base} there?`, `${capital(article(what))}.`],
      [`What colour was the ${one}?`, `${capital(colour)}.`],
      [`Where did ${who} ${base} the ${one}?`, `In the ${where}.`]
    ],
    replies: [
      `Oh. Was it ${article(what)}?`,
      `${who} should be careful in the ${where}.`,
      `I know that ${one}. It was ${colour}.`,
      `I will tell ${who} about the ${one}.`
    ],
    fields: [["name", who], ["colour", colour], ["thing", one], ["place", where]]
  }
}

const meeting = (cast: Cast): Event => {
  const { random } = cast
  const who = cast.person()
  const whom = other(cast.person, random, names, who)
  const where = cast.place()
  const time = random.pick(times)
  const verb = random.pick(["met", "saw", "visited", "helped", "greeted"])
  const base = { met: "meet", saw: "see", visited: "visit", helped: "help", greeted: "greet" }[verb]!
  return {
    told: [
      `${who} ${verb} ${whom} in the ${where} at ${time}.`,
      `At ${time}, ${who} ${verb} ${whom} in the ${where}.`,
      `At ${time} ${who} ${verb} ${whom} in the ${where}.`,
      `In the ${where}, ${who} ${verb} ${whom} at ${time}.`,
      `It was ${time} when ${who} ${verb} ${whom} in the ${where}.`
    ],
    asked: [
      [`Whom did ${who} ${base}?`, `${who} ${verb} ${whom}.`],
      [`Who ${verb} ${whom}?`, `${who}.`],
      [`Where did ${who} ${base} ${whom}?`, `In the ${where}.`],
      [`When did ${who} ${base} ${whom}?`, `At ${time}.`]
    ],
    replies: [
      `What did ${whom} say to ${who}?`,
      `Are ${who} and ${whom} friends?`,
      `The ${where} is quiet at ${time}.`
    ],
    fields: [["name", who], ["friend", whom], ["place", where], ["time", time]]
  }
}

const resting = (cast: Cast): Event => {
  const { random } = cast
  const who = cast.person()
  const where = cast.place()
  const animal = random.pick(animals)
  const colour = random.pick(colours)
  const verb = random.pick(["slept", "hid", "played", "waited", "sat", "ran"])
  const base = { slept: "sleep", hid: "hide", played: "play", waited: "wait", sat: "sit", ran: "run" }[verb]!
  return {
    told: [
      `The ${colour} ${animal} of ${who} ${verb} in the ${where}.`,
      `${who} has ${article(`${colour} ${animal}`)}. It ${verb} in the ${where}.`,
      `In the ${where}, the ${colour} ${animal} of ${who} ${verb}.`,
      `The ${animal} of ${who} is ${colour}. It ${verb} in the ${where}.`
    ],
    asked: [
      [`Where did the ${animal} ${base}?`, `The ${animal} ${verb} in the ${where}.`],
      [`Whose ${animal} was it?`, `It was the ${animal} of ${who}.`],
      [`What colour is the ${animal} of ${who}?`, `It is ${colour}.`],
      [`What animal does ${who} have?`, `${capital(article(`${colour} ${animal}`))}.`]
    ],
    replies: [
      `I like the ${animal} of ${who}.`,
      `Is the ${where} warm enough for ${article(animal)}?`,
      `${capital(article(`${colour} ${animal}`))}? I want to see it.`
    ],
    fields: [["name", who], ["animal", animal], ["colour", colour], ["place", where]]
  }
}

const eventKinds = [placing, placing, giving, buying, moving, having, having, meeting, resting]

const anEvent = (cast: Cast): Event => {
  const { asked, fields, replies, told } = cast.random.pick(eventKinds)(cast)
  return {
    told: told.map(sentences),
    asked: asked.map(([question, answer]) => [question, sentences(answer)] as const),
    replies: replies.map(sentences),
    fields
  }
}

/** A person who is called by a role begins with a small letter, but for the beginning of a sentence. */
const sentences = (text: string) => text.replace(/(^|[.?!] )the /g, "$1The ")

const mood = (cast: Cast): string => {
  const { random } = cast
  return sentences(
    random.pick([
      () => `${cast.person()} was ${random.pick(feelings)}.`,
      () => `It was ${article(`${random.pick(weathers)} day`)} in the ${cast.place()}.`,
      () => `"I am ${random.pick(feelings)}," said ${cast.person()}.`,
      () => `The day was ${random.pick(weathers)}.`,
      () => `Then it was ${random.pick(times)}.`
    ])()
  )
}

const story = (random: Random, roles: boolean): Document => {
  const cast = makeCast(random, 2 + random.below(2), roles)
  const events = Array.from({ length: 2 + random.below(3) }, () => anEvent(cast))
  let text = random.chance(0.5) ? mood(cast) + " " : ""
  for (const event of events) {
    text += random.pick(event.told) + " "
    if (random.chance(0.25)) text += mood(cast) + " "
  }
  text = text.trimEnd() + "\n"
  const layout = random.below(3)
  const rounds = 2 + random.below(3)
  for (let i = 0; i < rounds; i++) {
    const event = random.pick(events)
    const [question, answer] = random.pick(event.asked)
    text += layout === 0
      ? `Question: ${question}\nAnswer: ${answer}\n`
      : layout === 1
      ? `- ${question} ${answer}\n`
      : `"${question}" "${answer}"\n`
  }
  return [text]
}

/** The same event in two or three wordings. */
const retelling = (random: Random, roles: boolean): Document => {
  const cast = makeCast(random, 3, roles)
  const event = anEvent(cast)
  const told = Array.from({ length: 2 + random.below(2) }, () => random.pick(event.told))
  return [
    random.pick([
      () => told.join("\n") + "\n",
      () => `${told[0]} In other words: ${told[1]}\n`,
      () => `One said: ${told[0]}\nAnother said: ${told[1]}\n`
    ])()
  ]
}

/** An event as a card of fields, in some order. */
const card = (random: Random, roles: boolean): Document => {
  const cast = makeCast(random, 3, roles)
  const event = anEvent(cast)
  const fields = event.fields.slice()
  for (let i = fields.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const swapped = fields[i]!
    fields[i] = fields[j]!
    fields[j] = swapped
  }
  const told = random.pick(event.told)
  const body = random.pick([
    () => fields.map(([field, value]) => `${field}: ${value}\n`).join(""),
    () => fields.map(([field, value]) => `${field} ${value}`).join(", ") + "\n",
    () => fields.map(([, value]) => value).join(", ") + "\n",
    () => fields.map(([field, value]) => `The ${field} is ${value}.`).join(" ") + "\n"
  ])()
  return [random.chance(0.7) ? `${told}\n${body}` : `${body}${told}\n`]
}

/**
 * Lists said again. Nothing but looking back tells the next word here, so a model that begins with these learns to look
 * back early.
 */
export const drill = (random: Random): Document => {
  const word = () =>
    random.pick([
      () => random.pick(names),
      () => random.pick(things)[0],
      () => random.pick(colours),
      () => random.pick(places),
      () => invented(random.pick, 1 + random.below(2))
    ])()
  const list = Array.from({ length: 3 + random.below(10) }, word)
  const line = list.join(" ")
  return [
    random.pick([
      () => `Say: ${line}\nAgain: ${line}\n`,
      () => `${list.join(", ")}\n${list.join(", ")}\n`,
      () => `${line}\n${line}\n${line}\n`,
      () =>
        `List: ${list.join(", ")}. The first is ${list[0]}. The last is ${list[list.length - 1]}. `
        + `The second is ${list[1]}. The list: ${list.join(", ")}.\n`
    ])()
  ]
}

const count = ["zero", "one", ...numbers]

const sum = (random: Random): readonly [question: string, answer: string] => {
  const digits = random.chance(0.5)
  const limit = digits ? 20 : count.length
  const a = random.below(limit)
  const b = random.below(limit)
  const say = (n: number) => (digits ? String(n) : count[n]!)
  if (digits ? random.chance(0.5) : a + b >= count.length) {
    const high = Math.max(a, b)
    const low = Math.min(a, b)
    return [`What is ${say(high)} minus ${say(low)}?`, `${capital(say(high - low))}.`]
  }
  return [`What is ${say(a)} plus ${say(b)}?`, `${capital(say(a + b))}.`]
}

const sums = (random: Random): Document => {
  let text = ""
  for (let i = 0; i < 4; i++) {
    if (random.chance(0.5)) {
      const [question, answer] = sum(random)
      text += `${question} ${answer}\n`
    } else {
      const a = random.below(20)
      const b = random.below(20)
      text += random.chance(0.6) ? `${a} + ${b} = ${a + b}\n` : `${a + b} - ${a} = ${b}\n`
    }
  }
  return [text]
}

const general = (random: Random): readonly [question: string, answer: string] => {
  const [role, deed, saying] = random.pick(professions)
  const time = random.pick(times)
  const who = random.pick(names)
  const colour = random.pick(colours)
  return random.pick<() => readonly [string, string]>([
    () => [`What does the ${role} do?`, `The ${role} ${deed}.`],
    () => [`What does the ${role} do at ${time}?`, `At ${time} the ${role} ${deed}.`],
    () => [`What does the ${role} say?`, `The ${role} says: ${saying}.`],
    () => [`What does the ${role} say at ${time}?`, `At ${time} the ${role} says: ${saying}.`],
    () => [`Who ${deed}?`, `The ${role} ${deed}.`],
    () => [`Hello, I am ${who}.`, `Hello, ${who}. How are you?`],
    () => [`My name is ${who}.`, `Good day, ${who}.`],
    () => [`Good ${random.pick(["morning", "evening", "night"])}.`, "Good to see you."],
    () => [`Do you like ${colour} things?`, `Yes, I like ${colour} things.`],
    () => [`How are you?`, `I am ${random.pick(feelings)}, thank you.`]
  ])()
}

const people = (random: Random): Document => {
  let text = ""
  for (let i = 0; i < 3; i++) {
    const [question, answer] = general(random)
    text += `${question} ${answer}\n`
  }
  return [text]
}

/** A chat, cut into pieces as the role renderer of the cookbook cuts it. */
const chat = (random: Random, roles: boolean): Document => {
  const pieces: Array<string> = []
  const turn = (user: string, assistant: string) =>
    pieces.push("user:", ` ${user}\n\n`, "assistant:", ` ${assistant}\n\n`)
  const cast = makeCast(random, 3, roles)
  const rounds = 1 + random.below(3)
  for (let i = 0; i < rounds; i++) {
    const event = anEvent(cast)
    const told = random.pick(event.told)
    const [question, answer] = random.pick(event.asked)
    random.pick([
      () => turn(told, random.pick(event.replies)),
      () => turn(told, random.pick(event.replies)),
      () => {
        turn(told, random.pick(event.replies))
        turn(question, answer)
      },
      () => turn(`${told} ${question}`, answer),
      () => turn(`${told} ${question}`, answer),
      () => turn(`Say it in other words: ${told}`, random.pick(event.told)),
      () => turn(`Say it again: ${told}`, told),
      () => turn(...general(random)),
      () => turn(...general(random)),
      () => turn(...sum(random))
    ])()
  }
  return pieces
}

const kinds: ReadonlyArray<readonly [weight: number, make: (random: Random, roles: boolean) => Document]> = [
  [24, story],
  [16, retelling],
  [12, card],
  [10, drill],
  [3, sums],
  [4, people],
  [34, chat]
]

const total = kinds.reduce((sum, [weight]) => sum + weight, 0)

/**
 * The next document. With `roles` people are sometimes called by what they are, `the happy baker`, so that phrases of
 * several words have to be found and said again, too.
 */
export const document = (random: Random, options: { readonly roles: boolean }): Document => {
  let left = random.next() * total
  for (const [weight, make] of kinds) {
    left -= weight
    if (left < 0) return make(random, options.roles)
  }
  return chat(random, options.roles)
}
