/** Handlers of what an account has used, stored and done. */
import type { Answer } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type * as UsageEvent from "@effect-tinker/protocol/UsageEvent"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Http from "../http/http.js"
import type * as State from "../models/serverState.js"
import type { Lifetime } from "../records/auditedStore.js"
import * as Listing from "./listing.js"
import * as Usage from "./usage.js"
import * as Users from "./users.js"

/** Where something was used, and by whom. */
interface Place {
  readonly projectId: string | undefined
  readonly owner: Users.Owner
}

/** US dollars for a million tokens of a kind. */
export interface TokenPrices {
  readonly training: number
  readonly prefill: number
  readonly sampled: number
}

export interface PriceList {
  /** Prices of tokens by base model, in US dollars for a million. */
  readonly tokens?: Readonly<Record<string, TokenPrices>> | undefined
  /** US dollars for a gigabyte that is stored for a month. */
  readonly gigabyteMonth?: number | undefined
}

export const make = (state: State.ServerState, prices: PriceList) => ({
  usageEvents: usageEvents(state, prices),
  currentStorage: currentStorage(state, prices),
  audit: audit(state)
})

/** What was used in an hour, for the list of usage. */
interface Used {
  /** When the hour began, in milliseconds since the epoch. */
  readonly hour: number
  readonly baseModel: string
  readonly sessionId: string
  readonly place: Place
  readonly info: UsageEvent.UsageInfo
  readonly costs: Pick<
    UsageEvent.UsageEvent,
    "estimatedCostUsd" | "effectiveRateUsdPerMillionTokens" | "effectiveRateUsdPerGigabyteMonth"
  >
}

/** Whole hours, in milliseconds since the epoch; `before` is not in it. */
interface Window {
  readonly from: number
  readonly before: number
}

const usageEvents =
  (state: State.ServerState, prices: PriceList): Http.Handler<Answer<typeof Endpoints.getBillingUsage>> => (request) =>
    Effect.gen(function*() {
      const query = yield* Http.decodeQuery(Endpoints.getBillingUsage.query, request)
      const from = yield* hourIn("starting_on", query.startingOn)
      const before = yield* hourIn("ending_before", query.endingBefore)
      const now = yield* Clock.currentTimeMillis
      if (from > now) return yield* Http.refuse(400, "starting_on is in the future")
      if (before <= from || before - from > longestWindow) {
        return yield* Http.refuse(400, "ending_before must be after starting_on, and by no more than 14 days")
      }
      const isOwner = yield* Users.isOwner
      const events = [
        ...tokenEvents(state, prices, { from, before }),
        ...storageEvents(state, prices, { from, before }, now)
      ].filter(({ place }) => isOwner(place.owner))
      return Http.answer(Endpoints.getBillingUsage, { data: events.map(eventOf), sessions: metadataOf(state, events) })
    })

const tokenEvents = (state: State.ServerState, prices: PriceList, { before, from }: Window): Array<Used> =>
  state.usage.counts(from, before).map(({ baseModel, hour, kind, sessionId, tokens }) => {
    const rate = tokenRate(prices, baseModel, kind)
    return {
      hour,
      baseModel,
      sessionId,
      place: placeOf(state, sessionId),
      info: infoOf[kind](tokens),
      costs: { estimatedCostUsd: rate && rate * tokens / 1e6, effectiveRateUsdPerMillionTokens: rate }
    }
  })

/** Tells that checkpoints were saved, and how long each took how much room. */
const storageEvents = (
  state: State.ServerState,
  { gigabyteMonth }: PriceList,
  { before, from }: Window,
  now: number
): Array<Used> => {
  const events: Array<Used> = []
  for (const lifetime of state.lifetimes) {
    const { baseModel, createdAt, owner, path, sizeBytes } = lifetime.info
    const where = {
      baseModel,
      sessionId: sessionOf(path.trainingRunId),
      place: placeOf(state, path.trainingRunId, owner)
    }
    const over = Math.min(endOf(lifetime, now), before)
    if (createdAt >= from && createdAt < before) {
      events.push({ hour: Usage.hourOf(createdAt), ...where, info: { _tag: "Checkpoint", count: 1 }, costs: {} })
    }
    for (let hour = Usage.hourOf(Math.max(createdAt, from)); hour < over; hour += Usage.hourMillis) {
      const millis = Math.min(hour + Usage.hourMillis, over) - Math.max(hour, createdAt)
      const gigabyteHours = sizeBytes / gigabyte * millis / Usage.hourMillis
      events.push({
        hour,
        ...where,
        info: { _tag: "Storage", gigabyteHours, free: false },
        costs: {
          estimatedCostUsd: gigabyteMonth && gigabyteMonth * gigabyteHours / hoursPerMonth,
          effectiveRateUsdPerGigabyteMonth: gigabyteMonth
        }
      })
    }
  }
  return events
}

/** What a kind of tokens is as an event. */
const infoOf: Readonly<Record<Usage.TokenKind, (tokenCount: number) => UsageEvent.UsageInfo>> = {
  training: (tokenCount) => ({ _tag: "Training", tokenCount }),
  sampling_prefill: (tokenCount) => ({ _tag: "SamplingPrefill", cached: false, tokenCount }),
  sampling_sample: (tokenCount) => ({ _tag: "SamplingSample", tokenCount })
}

const eventOf = (
  { baseModel, costs, hour, info, place: { owner, projectId }, sessionId }: Used
): UsageEvent.UsageEvent => ({
  bucketStart: DateTime.unsafeMake(hour),
  bucketEnd: DateTime.unsafeMake(hour + Usage.hourMillis),
  baseModel,
  userId: Users.urnOf(owner),
  userName: Users.emailOf(owner),
  sessionId,
  projectId,
  ...costs,
  eventInfo: info
})

/** What is known of the sessions that events are of. */
const metadataOf = (state: State.ServerState, events: ReadonlyArray<Used>) => {
  const sessions: Record<string, { readonly userMetadata: Readonly<Record<string, string>> }> = {}
  for (const id of new Set(events.map(({ sessionId }) => sessionId))) {
    const session = state.sessions.get(id)
    if (session !== undefined) sessions[id] = { userMetadata: Listing.textsOf(session.userMetadata) }
  }
  return sessions
}

const currentStorage = (
  state: State.ServerState,
  { gigabyteMonth }: PriceList
): Http.Handler<Answer<typeof Endpoints.getCurrentCheckpointStorageUsage>> =>
(request) =>
  Effect.gen(function*() {
    const { projectId } = yield* Http.decodeQuery(Endpoints.getCurrentCheckpointStorageUsage.query, request)
    const isOwner = yield* Users.isOwner
    const byPlace = new Map<string, Place & { count: number; bytes: number }>()
    for (const info of yield* state.store.list) {
      const place = placeOf(state, info.path.trainingRunId, info.owner)
      if (!isOwner(place.owner)) continue
      if (projectId !== undefined && place.projectId !== projectId) continue
      const key = JSON.stringify([place.projectId, place.owner])
      const sum = byPlace.get(key) ?? { ...place, count: 0, bytes: 0 }
      byPlace.set(key, { ...place, count: sum.count + 1, bytes: sum.bytes + info.sizeBytes })
    }
    return Http.answer(Endpoints.getCurrentCheckpointStorageUsage, {
      effectiveRateUsdPerGigabyteMonth: gigabyteMonth,
      data: Array.from(byPlace.values(), ({ bytes, count, owner, projectId }) => ({
        projectId,
        orgUserUrn: Users.urnOf(owner),
        userEmail: Users.emailOf(owner),
        userName: Users.emailOf(owner),
        checkpointCount: count,
        sizeBytes: bytes,
        sizeGigabytes: bytes / gigabyte,
        estimatedMonthlyCostUsd: gigabyteMonth && gigabyteMonth * bytes / gigabyte
      }))
    })
  })

const audit = (state: State.ServerState): Http.Handler<Answer<typeof Endpoints.getAuditLog>> => (request) =>
  Effect.gen(function*() {
    const { day, eventType } = yield* Http.decodeQuery(Endpoints.getAuditLog.query, request)
    const wanted = day ?? Listing.timeOf(yield* Clock.currentTimeMillis).slice(0, 10)
    if (Number.isNaN(Date.parse(wanted))) return yield* Http.refuse(422, `${wanted} is no day`)
    const isOwner = yield* Users.isOwner
    const ownerOf = ownersOfEntries(state)
    return Http.answer(Endpoints.getAuditLog, {
      entries: state.audit.entries
        .filter(({ at, details, event }) =>
          Listing.timeOf(at).startsWith(wanted)
          && isOwner(ownerOf(details))
          && (eventType === "all" || event.startsWith(`${eventType.slice(0, -1)}_`))
        )
        .map(({ at, details, event }) => ({
          timestamp: DateTime.unsafeMake(at),
          event,
          eventDetails: details,
          modelId: textIn(details.model_id),
          tinkerPath: textIn(details.tinker_path)
        }))
    })
  })

const textIn = (detail: unknown): string | undefined => typeof detail === "string" ? detail : undefined

/** Tells whose that is which was done something to: of sessions, or of copies, which are in none. */
const ownersOfEntries = (state: State.ServerState) => {
  const ofRuns = new Map(state.lifetimes.map(({ info }) => [info.path.trainingRunId as string, info.owner]))
  return ({ api_key_name, model_id, session_id }: Readonly<Record<string, unknown>>): Users.Owner => {
    const id = String(session_id ?? model_id)
    const session = state.sessions.get(sessionOf(id))
    const owner = session === undefined ? ofRuns.get(id) : session.owner
    // What is everybody's was still done by one of them.
    if (owner === undefined && typeof api_key_name === "string") return api_key_name
    return session === undefined && !ofRuns.has(id) ? noKnownOwner : owner
  }
}

/** US dollars for a million tokens, where they have a price. */
const tokenRate = ({ tokens }: PriceList, baseModel: string, kind: Usage.TokenKind): number | undefined => {
  const rates = tokens !== undefined && Object.hasOwn(tokens, baseModel) ? tokens[baseModel] : undefined
  return rates?.[({ training: "training", sampling_prefill: "prefill", sampling_sample: "sampled" } as const)[kind]]
}

const placeOf = (state: State.ServerState, runOrSession: string, owner?: Users.Owner): Place => {
  const session = state.sessions.get(sessionOf(runOrSession))
  return session === undefined
    ? { projectId: state.projectsOfCopies.get(runOrSession), owner }
    : { projectId: session.projectId, owner: session.owner }
}

const hourIn = (name: string, text: string): Effect.Effect<number, Http.Refusal> => {
  const millis = Date.parse(text)
  return Number.isNaN(millis) || millis % Usage.hourMillis !== 0
    ? Http.refuse(400, `${name} must be a whole hour in UTC, as 2026-07-13T09:00:00Z`)
    : Effect.succeed(millis)
}

/** Source: the Python SDK 0.38.0. */
const longestWindow = 14 * 24 * Usage.hourMillis

/** Source: the Python SDK 0.38.0. */
const hoursPerMonth = 720

const gigabyte = 1e9

/** The owner of what is not known any more: no user is called so. */
const noKnownOwner = ""

/** The id of a run begins with that of its session, unless it is a copy. */
const sessionOf = (runId: string): string => runId.split(":")[0]!

const endOf = ({ info, removedAt }: Lifetime, now: number): number => Math.min(removedAt ?? now, info.expiresAt ?? now)
