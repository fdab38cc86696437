/** The words of the corpus: short, common, and few enough that a small vocabulary holds most of them whole. */

const words = (text: string): ReadonlyArray<string> => text.trim().split(/\s+/)

export const names = words(`
  Ada Alba Anna Anton Astrid Bela Ben Bruno Carl Chen Clara Cora Dan David Diego Dina Edith Ella Emil Emma Eva Finn
  Flora Frank Greta Hans Hassan Hugo Ida Igor Iris Ivan Jack Joan Julia Kai Karl Kate Lars Lena Leo Lucy Marco Maria Max
  Mia Nadia Nick Nina Nora Olga Omar Otto Paul Pedro Rosa Ruth Sam Sara Simon Theo Tim Tom Vera Walter Yara Zoe
`)

/** Singular and plural. */
export const things: ReadonlyArray<readonly [string, string]> = words(`
  apple:apples bag:bags ball:balls basket:baskets bell:bells book:books bottle:bottles box:boxes button:buttons
  cake:cakes candle:candles card:cards chair:chairs clock:clocks coat:coats cup:cups doll:dolls drum:drums egg:eggs
  flag:flags flower:flowers hammer:hammers hat:hats jar:jars key:keys kite:kites ladder:ladders lamp:lamps letter:letters
  map:maps mirror:mirrors net:nets pan:pans pillow:pillows plate:plates ring:rings rope:ropes shell:shells shoe:shoes
  spoon:spoons stone:stones table:tables towel:towels wheel:wheels
`).map((pair) => {
  const [one, many] = pair.split(":")
  return [one!, many!] as const
})

export const colours = words("black blue brown golden green grey orange pink purple red silver white yellow")

/** All of these go with "in the". */
export const places = words(`
  attic bakery barn boat cabin camp castle cave cellar church forest garage garden hall harbour hotel kitchen library
  market meadow mill museum office park room school shed shop stable street tent tower town valley village yard
`)

export const animals = words(`
  bear bird cat cow dog duck fox frog goat goose hen horse lamb mouse owl pig rabbit sheep swan tiger turtle wolf
`)

/** From two to twelve. */
export const numbers = words("two three four five six seven eight nine ten eleven twelve")

export const times = words("dawn dusk midday midnight morning night noon sunrise sunset evening")

/** Who, and what that person does and says. */
export const professions: ReadonlyArray<readonly [role: string, deed: string, saying: string]> = [
  ["baker", "bakes bread", "the bread is warm"],
  ["farmer", "feeds the cows", "the hay is dry"],
  ["teacher", "teaches the children", "please sit down"],
  ["sailor", "sails the ship", "the wind is good"],
  ["doctor", "helps the sick", "drink some water"],
  ["king", "rules the land", "open the gate"],
  ["queen", "rules the land", "close the gate"],
  ["fisher", "catches fish", "the net is full"],
  ["cook", "makes the soup", "the soup is hot"],
  ["shepherd", "guards the sheep", "the sheep are home"],
  ["lighthouse keeper", "watches the sea", "good night, little boats"],
  ["miller", "grinds the corn", "the flour is white"],
  ["painter", "paints the wall", "the paint is wet"],
  ["singer", "sings a song", "listen to me"],
  ["smith", "bends the iron", "the fire is hot"],
  ["gardener", "waters the flowers", "the roses are red"],
  ["guard", "stands at the door", "who is there"],
  ["judge", "hears the case", "be quiet please"],
  ["nurse", "brings the tea", "rest a little"],
  ["pilot", "flies the plane", "look at the clouds"]
]

export const feelings = words("happy sad tired proud angry hungry calm brave quiet glad sleepy cold")

export const weathers = words("sunny rainy windy cloudy foggy stormy warm cold dark bright")

const onsets = words("b br d dr f fl g gr h j k kl l m n p pl r s st t tr v z")
const vowels = words("a e i o u ai ea oo")
const codas = words("b d k l m n p r s t x nd rk st")

/** A name or word nobody has heard, so that copying cannot rest on knowing the word. */
export const invented = (pick: (list: ReadonlyArray<string>) => string, syllables: number): string => {
  let word = ""
  for (let i = 0; i < syllables; i++) word += pick(onsets) + pick(vowels)
  return word + pick(codas)
}
