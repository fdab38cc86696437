import { costUsd, type UsageEvent } from "@effect-tinker/protocol/UsageEvent"
import * as AdminClient from "effect-tinker/AdminClient"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Humanize from "../Humanize.js"
import * as NewFile from "../NewFile.js"
import * as Output from "../Output.js"
import { timeOf } from "../ParsedOption.js"
import * as Rows from "../Rows.js"
import { UsageError } from "../UsageError.js"
import * as Wire from "../Wire.js"

interface Input {
  readonly startingOn: Option.Option<string>
  readonly endingBefore: Option.Option<string>
  readonly last: Option.Option<number>
  readonly groupBy: Option.Option<string>
  readonly csv: Option.Option<string>
  readonly sessionsCsv: Option.Option<string>
  readonly force: boolean
}

const hour = 3_600_000

/** The longest window that the service answers for. */
const longestWindow = 14 * 24 * hour

export const usage: Handler<Input> = (input) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const groups = yield* groupsOf(input.groupBy)
    if (Option.contains(input.csv, "-") && Option.contains(input.sessionsCsv, "-")) {
      return yield* new UsageError({
        description: "--csv and --sessions-csv cannot both go to the standard output. Give one of them a file."
      })
    }
    for (const place of Option.toArray(input.csv).concat(Option.toArray(input.sessionsCsv))) {
      if (place !== "-") yield* NewFile.check(place, { isReplaced: input.force })
    }
    const window = yield* windowOf(input, yield* Clock.currentTimeMillis)
    const { costDataThrough, data, sessions } = yield* asked(window)
    const wire = Wire.billingUsage({ data, sessions, costDataThrough })
    const rows = groups.length > 0 ? sums(data, groups) : wire.data.map(flat)
    if (Option.isSome(input.sessionsCsv)) {
      const kept = Object.entries(sessions).map(([session_id, { userMetadata }]): Rows.Row => ({
        session_id,
        user_metadata: userMetadata === undefined ? null : JSON.stringify(userMetadata)
      }))
      yield* Rows.writeCsv(
        input.sessionsCsv.value,
        Rows.csv(kept, ["session_id", "user_metadata"]),
        kept.length
      )
    }
    if (Option.isSome(input.csv)) return yield* Rows.writeCsv(input.csv.value, Rows.csv(rows), rows.length)
    // Its table of sessions has the standard output for itself.
    if (Option.contains(input.sessionsCsv, "-")) return
    yield* output.result({
      json: groups.length > 0
        ? { groups: rows }
        : { ...wire, cost_data_through: wire.cost_data_through ?? null },
      text: Rows.table(
        data.length === 0
          ? "No billing usage in this window"
          : Humanize.counted(rows.length, groups.length > 0 ? "group" : "hourly usage row"),
        rows
      )
    })
  })

const asked = ({ end, start }: Window) =>
  Effect.gen(function*() {
    const admin = yield* AdminClient.AdminClient
    const windows = Arr.unfold(start, (from) =>
      from >= end
        ? Option.none()
        : Option.some(
          [{ from, to: Math.min(end, from + longestWindow) }, Math.min(end, from + longestWindow)] as const
        ))
    const answers = yield* Effect.forEach(windows, ({ from, to }) =>
      Connection.brief(
        admin.getBillingUsage({ startingOn: DateTime.unsafeMake(from), endingBefore: DateTime.unsafeMake(to) })
      ))
    return {
      data: answers.flatMap(({ data }) => data),
      sessions: Object.assign({}, ...answers.map(({ sessions }) => sessions)) as (typeof answers)[number]["sessions"],
      costDataThrough: answers.map(({ costDataThrough }) => costDataThrough).find((time) => time !== undefined)
    }
  }).pipe(Effect.provide(Connection.layer))

interface Window {
  readonly start: number
  readonly end: number
}

const windowOf = ({ endingBefore, last, startingOn }: Input, now: number): Effect.Effect<Window, UsageError> => {
  const isGiven = Option.isSome(startingOn)
  if (Option.isSome(last)) {
    const end = Math.ceil(now / hour) * hour
    return isGiven
      ? new UsageError({ description: "--last and STARTING_ON say different things. Give one of them." })
      : Effect.succeed({ start: end - Math.max(1, Math.ceil(last.value / hour)) * hour, end })
  }
  if (!isGiven || Option.isNone(endingBefore)) {
    return new UsageError({
      description:
        "of which time? Give STARTING_ON and ENDING_BEFORE, as 2026-11-01T00:00:00Z 2026-11-08T00:00:00Z, or --last 7d."
    })
  }
  const named = [["STARTING_ON", startingOn.value], ["ENDING_BEFORE", endingBefore.value]] as const
  for (const [name, text] of named) {
    const time = timeOf(text.trim())
    if (time === undefined || time % hour !== 0) {
      return new UsageError({
        description: `${name} is ${JSON.stringify(text)}; it must be ${
          time === undefined ? "a time, as 2026-11-01T00:00:00Z" : "on the hour, in UTC"
        }.`
      })
    }
  }
  const [start, end] = [timeOf(startingOn.value.trim())!, timeOf(endingBefore.value.trim())!]
  return end > start
    ? Effect.succeed({ start, end })
    : new UsageError({ description: "ENDING_BEFORE must be later than STARTING_ON." })
}

const keys = ["model", "type", "session", "project", "user", "day"] as const

type Key = typeof keys[number]

const groupsOf = (groupBy: Option.Option<string>): Effect.Effect<ReadonlyArray<Key>, UsageError> => {
  const given: ReadonlyArray<string> = Option.match(groupBy, {
    onNone: () => [],
    onSome: (list) => list.split(",").map((key) => key.trim())
  })
  const unknown = given.find((key) => !keys.some((known) => known === key))
  return unknown === undefined
    ? Effect.succeed(keys.filter((key) => given.includes(key)))
    : new UsageError({
      description: `--group-by: there is nothing called ${JSON.stringify(unknown)}. There are: ${keys.join(", ")}.`
    })
}

const valueOf = (event: UsageEvent, key: Key): string => {
  switch (key) {
    case "model":
      return event.baseModel ?? ""
    case "type":
      return Wire.usageType(event)
    case "session":
      return event.sessionId ?? ""
    case "project":
      return event.projectId ?? ""
    case "user":
      return event.userName ?? event.userId ?? ""
    case "day":
      return DateTime.formatIsoDateUtc(event.bucketStart)
  }
}

/** The sums of each group, and of all; a cost that is not known is told, and not counted as nothing. */
const sums = (events: ReadonlyArray<UsageEvent>, groups: ReadonlyArray<Key>): ReadonlyArray<Rows.Row> => {
  const byGroup = Arr.groupBy(events, (event) => JSON.stringify(groups.map((key) => valueOf(event, key))))
  const row = (names: Rows.Row, some: ReadonlyArray<UsageEvent>): Rows.Row => {
    const costs = some.map(costUsd)
    return {
      ...names,
      tokens: some.reduce((sum, { eventInfo }) => sum + ("tokenCount" in eventInfo ? eventInfo.tokenCount : 0), 0),
      gigabyte_hours: some.reduce(
        (sum, { eventInfo }) => sum + (eventInfo._tag === "Storage" ? eventInfo.gigabyteHours : 0),
        0
      ),
      estimated_cost_usd: costs.reduce<number>((sum, cost) => sum + (cost ?? 0), 0),
      events_without_cost: costs.filter((cost) => cost === undefined).length
    }
  }
  const all = Object.entries(byGroup).map(([group, some]) => {
    const values = JSON.parse(group) as ReadonlyArray<string>
    return row(Object.fromEntries(groups.map((key, index) => [key, values[index]!])), some)
  })
  return events.length === 0
    ? []
    : [...all, row(Object.fromEntries(groups.map((key, index) => [key, index === 0 ? "total" : ""])), events)]
}

type WireEvent = ReturnType<typeof Wire.billingUsage>["data"][number]

/** What an event counts stands beside what it is of. */
const flat = ({ event_info, ...event }: WireEvent): Rows.Row => {
  const isPriced = (event_info as { readonly type?: unknown }).type !== "checkpoint"
  return {
    ...event,
    estimated_cost_usd: event.estimated_cost_usd ?? (isPriced ? null : undefined),
    ...Object.fromEntries(
      Object.entries(event_info).map(([key, value]) => [
        key,
        typeof value === "object" && value !== null ? JSON.stringify(value) : value as Rows.Row[string]
      ])
    )
  }
}
