/** Schedules made of schedules: their delays, how often and how long they recur, and what ends them. */
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"

/** A schedule whose delays double from `first` to `longest`, vary by the share `jitter` to either side, and are never longer than `longest`. */
export const doubling = (options: {
  readonly first: Duration.DurationInput
  readonly longest: Duration.DurationInput
  readonly jitter: number
}): Schedule.Schedule<unknown> => {
  const { first, jitter, longest } = options
  return Schedule.exponential(first).pipe(
    Schedule.union(Schedule.spaced(longest)),
    Schedule.jitteredWith({ min: 1 - jitter, max: 1 + jitter }),
    Schedule.modifyDelay((_, delay) => Duration.min(delay, longest))
  )
}

/** The same schedule, which recurs at most so many times. */
export const times = <In>(schedule: Schedule.Schedule<unknown, In>, most: number): Schedule.Schedule<unknown, In> =>
  Schedule.intersect(schedule, Schedule.recurs(most))

/** The same schedule, which is over when so much time has passed since its first step. */
export const within = <In>(
  schedule: Schedule.Schedule<unknown, In>,
  longest: Duration.DurationInput
): Schedule.Schedule<unknown, In> => Schedule.upTo(schedule, longest)

/** The same schedule, which is also over when an input says so, with the time that has passed since its first step. */
export const unless = <In>(
  schedule: Schedule.Schedule<unknown, In>,
  isOver: (input: In, elapsed: Duration.Duration) => boolean
): Schedule.Schedule<unknown, In> =>
  Schedule.check(
    Schedule.intersect(schedule, Schedule.elapsed),
    (input: In, [, elapsed]) => !isOver(input, elapsed)
  )

/** A schedule of equal delays, as long as something holds. */
export const spacedWhile = (interval: Duration.DurationInput, holds: () => boolean): Schedule.Schedule<unknown> =>
  Schedule.whileInput(Schedule.spaced(interval), holds)

/** A schedule without end, each of whose delays is asked for when it begins. */
export const delayedBy = (delay: () => Duration.DurationInput): Schedule.Schedule<unknown> =>
  Schedule.addDelay(Schedule.forever, delay)

/** A schedule that is over at once. */
export const none: Schedule.Schedule<unknown> = Schedule.stop
