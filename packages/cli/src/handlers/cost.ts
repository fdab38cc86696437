import type * as ChatDataset from "@effect-tinker/cookbook/ChatDataset"
import * as RoleRenderer from "@effect-tinker/cookbook/RoleRenderer"
import type { Datum } from "@effect-tinker/protocol/Datum"
import * as ModelInput from "@effect-tinker/protocol/ModelInput"
import type { UsageEvent } from "@effect-tinker/protocol/UsageEvent"
import * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import * as AdminClient from "effect-tinker/AdminClient"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { defaults } from "../commands/trainFlags.js"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Lessons from "../Lessons.js"
import * as Output from "../Output.js"
import * as Reading from "../Reading.js"
import * as Table from "../Table.js"
import { explainData } from "../TrainingProgram.js"
import { UsageError } from "../UsageError.js"

interface Input extends Reading.Asked {
  readonly steps: Option.Option<number>
  readonly epochs: Option.Option<number>
  readonly batchSize: Option.Option<number>
  readonly priceTraining: Option.Option<number>
  readonly pricePrefill: Option.Option<number>
  readonly priceSampled: Option.Option<number>
}

type Kind = "training" | "prefill" | "sampled"

const kinds: ReadonlyArray<Kind> = ["training", "prefill", "sampled"]

/** The longest answer to a question that training asks. */
const answerTokens = 64

export const cost: Handler<Input> = (input) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    if (Option.isSome(input.steps) && Option.isSome(input.epochs)) {
      return yield* new UsageError({ description: "--steps and --epochs say different things. Give one of them." })
    }
    const ignoredKeys = yield* Reading.ignoredKeys(input)
    const reader = yield* Reading.open(input)
    const batchSize = Option.getOrElse(input.batchSize, () => defaults.batchSize)
    const { conversations, lessons, steps } = yield* read(input, { batchSize, ignoredKeys, reader })
    const trained = yield* Stream.runFoldEffect(lessons.batches, 0, (sum, { data, step }) =>
      Effect.as(output.progress(`Counting the tokens of step ${step + 1} of ${steps}`), sum + tokensOf(data)))
    yield* output.progress("")
    const examined = tokensOf(lessons.heldOut)
    const asked = promptTokens(lessons.prompts, reader.tokenizer)
    const tokens: Readonly<Record<Kind, number>> = {
      training: trained + 2 * examined,
      prefill: 2 * asked,
      sampled: 2 * lessons.prompts.length * answerTokens
    }
    const prices = yield* pricesOf(input)
    const costs = Object.fromEntries(kinds.map((kind) => {
      const rate = prices[kind]?.rate
      return [kind, rate === undefined ? undefined : rate * tokens[kind] / 1e6]
    })) as Readonly<Record<Kind, number | undefined>>
    const unknown = kinds.filter((kind) =>
      costs[kind] === undefined
    )
    const total = unknown.length > 0 ? undefined : kinds.reduce((sum, kind) =>
      sum + costs[kind]!, 0)
    yield* output.result({
      json: {
        file: input.file,
        base_model: reader.baseModel ?? null,
        conversations: conversations.train.length,
        held_out: conversations.heldOut.length,
        steps,
        batch_size: batchSize,
        tokens: { ...tokens, of_steps: trained, of_held_out: 2 * examined },
        prices_usd_per_million_tokens: nulled(Object.fromEntries(kinds.map((kind) => [kind, prices[kind]?.rate]))),
        cost_usd: { ...nulled(costs), total: total ?? null }
      },
      text: Table.table(
        `Training on ${input.file}: ${steps} steps of ${batchSize} conversations, out of ${conversations.train.length}`,
        [
          { title: "Tokens", text: ({ name }) => name },
          { title: "Count", text: ({ count }) => String(count), isNumeric: true },
          { title: "USD/million", text: ({ price }) => price === undefined ? "N/A" : String(price), isNumeric: true },
          { title: "USD", text: ({ usd }) => usd === undefined ? "N/A" : usd.toFixed(4), isNumeric: true }
        ],
        [
          ...kinds.map((kind) => ({
            name: names[kind],
            count: tokens[kind],
            price: prices[kind]?.rate,
            usd: costs[kind]
          })),
          { name: "Total", count: kinds.reduce((sum, kind) => sum + tokens[kind], 0), price: undefined, usd: total }
        ]
      )
    })
    yield* output.notice(
      `Trained on: ${trained} tokens of the ${steps} steps, and 2 × ${examined} of the held-out lines, which are read before and after. `
        + `Questions are asked twice, and each answer has ${answerTokens} tokens at most.`
    )
    const sources = Array.from(new Set(kinds.flatMap((kind) => prices[kind]?.source ?? [])))
    if (sources.length > 0) yield* output.notice(`Prices: ${sources.join("; ")}.`)
    if (unknown.length > 0) {
      yield* output.notice(
        `No price is known of ${
          unknown.map((kind) => names[kind].toLowerCase()).join(", ")
        }, so there is no total. Give ${unknown.map((kind) => `--price-${kind}`).join(", ")}${
          Option.isSome(input.baseModel) ? "" : ", or name a model of the service with --base-model"
        }.`
      )
    }
  })

/** What training learns of the file, and in how many steps. */
const read = (
  { epochs, file, steps: given }: Input,
  { batchSize, ignoredKeys, reader }: {
    readonly batchSize: number
    readonly ignoredKeys: ReadonlyArray<string>
    readonly reader: Reading.Reader
  }
) =>
  Effect.gen(function*() {
    const conversations = yield* Lessons.read(file, { ignoredKeys })
    const steps = Option.match(epochs, {
      onNone: () => Option.getOrElse(given, () => defaults.steps),
      onSome: (epochs) => epochs * Math.ceil(conversations.train.length / batchSize)
    })
    const lessons = yield* Lessons.encode(conversations, { steps, batchSize, maxTokens: reader.maxContextLength }).pipe(
      Effect.provideService(Tokenizer.Tokenizer, reader.tokenizer)
    )
    return { conversations, lessons, steps }
  }).pipe(Effect.catchTag("DatasetError", (error) => Effect.fail(explainData(error, ignoredKeys))))

const names: Readonly<Record<Kind, string>> = {
  training: "Trained on",
  prefill: "Read of questions",
  sampled: "Sampled at most"
}

const tokensOf = (data: ReadonlyArray<Datum>): number =>
  data.reduce((sum, { modelInput }) => sum + (ModelInput.textLength(modelInput) ?? 0), 0)

const promptTokens = (prompts: ReadonlyArray<ChatDataset.Chat>, tokenizer: Tokenizer.Service): number => {
  const renderer = RoleRenderer.fromTokenizer(tokenizer)
  return prompts.reduce((sum, { messages }) => {
    const prompt = Option.getOrUndefined(Option.getRight(renderer.generationPrompt(messages.slice(0, -1))))
    return sum + (prompt === undefined ? 0 : ModelInput.textLength(prompt) ?? 0)
  }, 0)
}

const nulled = (values: Readonly<Record<string, number | undefined>>): Readonly<Record<string, number | null>> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value ?? null]))

interface Price {
  /** US dollars a million tokens. */
  readonly rate: number
  readonly source: string
}

type Prices = Readonly<Partial<Record<Kind, Price>>>

const pricesOf = (
  { baseModel, pricePrefill, priceSampled, priceTraining }: Input
) =>
  Effect.gen(function*() {
    const given: Readonly<Record<Kind, Option.Option<number>>> = {
      training: priceTraining,
      prefill: pricePrefill,
      sampled: priceSampled
    }
    const isComplete = kinds.every((kind) => Option.isSome(given[kind]))
    const told: Prices = Option.isNone(baseModel) || isComplete ? {} : yield* toldBy(baseModel.value)
    return Object.fromEntries(kinds.flatMap((kind) => {
      const price = Option.match(given[kind], {
        onNone: () => told[kind],
        onSome: (rate): Price => ({ rate, source: "as given" })
      })
      return price === undefined ? [] : [[kind, price] as const]
    })) as Prices
  })

/** The longest window that the service answers for. */
const windowMillis = 14 * 24 * 3_600_000

const hour = 3_600_000

/** The latest rate of each kind of tokens in what was used of the model. A service that does not tell it is asked no further. */
const toldBy = (baseModel: string) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const admin = yield* AdminClient.AdminClient
    const end = Math.ceil((yield* Clock.currentTimeMillis) / hour) * hour
    const usage = yield* Effect.either(Connection.brief(
      admin.getBillingUsage({
        startingOn: DateTime.unsafeMake(end - windowMillis),
        endingBefore: DateTime.unsafeMake(end)
      })
    ))
    if (usage._tag === "Left") {
      yield* output.warning(`the service tells no prices: ${usage.left.message}`)
      return {}
    }
    const rates: { [K in Kind]?: Price & { readonly at: number } } = {}
    for (const event of usage.right.data) {
      const kind = kindOf(event)
      const rate = event.effectiveRateUsdPerMillionTokens
      const at = DateTime.toEpochMillis(event.bucketStart)
      if (event.baseModel !== baseModel || kind === undefined || rate === undefined) continue
      if ((rates[kind]?.at ?? -Infinity) > at) continue
      rates[kind] = {
        rate,
        at,
        source: `the service's rate of ${DateTime.formatIso(event.bucketStart).slice(0, 16)} UTC`
      }
    }
    return rates
  }).pipe(Effect.provide(Connection.layer))

/** What was read from a cache costs less, and says nothing of what is new. */
const kindOf = ({ eventInfo }: UsageEvent): Kind | undefined => {
  switch (eventInfo._tag) {
    case "Training":
      return "training"
    case "SamplingPrefill":
      return eventInfo.cached ? undefined : "prefill"
    case "SamplingSample":
      return "sampled"
    default:
      return undefined
  }
}
