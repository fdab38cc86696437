import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import * as Fibers from "../effect/fibers.js"

/**
 * What a call is doing: one after the other, without a gap, so that the phases of a call take as long as the call. `loss` is
 * that of a custom loss, between its two passes.
 */
export type Phase =
  | "validate"
  | "wait for turn"
  | "wait for budget"
  | "submit"
  | "queued"
  | "running"
  | "decode"
  | "loss"

type Attributes = Readonly<Record<string, unknown>>

/** The phases of a call, or of one part of it. */
export interface Track {
  /** Ends the phase before. Entering the phase in which the call is does nothing. */
  readonly enter: (phase: Phase, attributes?: Attributes) => void
  /** The result is there: it has run, also when no server said so, and is read now. */
  readonly arrived: () => void
  /** Whether it is of one part, which ends when its result is read; a whole call may go on then. */
  readonly isPart: boolean
  readonly partRead: () => void
  /** Gives the present phase an attribute. */
  readonly attribute: (name: string, value: unknown) => void
  /** Phases of a part of the call, from now on beside those of the others. */
  readonly part: (index: number) => Track
  readonly end: (exit: Exit.Exit<unknown, unknown>) => void
}

const nothing = () => {}

/** While nobody sees spans. */
export const untraced: Track = {
  enter: nothing,
  arrived: nothing,
  isPart: false,
  partRead: nothing,
  attribute: nothing,
  part: () => untraced,
  end: nothing
}

/** The span of a call, which lasts until its result is there, and those of its phases. */
export interface CallTrace {
  readonly span: Tracer.Span
  readonly track: Track
  readonly end: (exit: Exit.Exit<unknown, unknown>) => void
}

/** Begins the span of a call, with its first phase, if anybody sees it. */
export const begin = (
  fiber: Fibers.Running,
  name: string,
  attributes: () => Attributes
): CallTrace | undefined => {
  if (!Fibers.isTraced(fiber) || !Fibers.isTracing(fiber)) return undefined
  const tracer = Fibers.tracerOf(fiber)
  const clock = Fibers.clockOf(fiber)
  const span = tracer.span(
    name,
    Option.fromNullable(Fibers.spanOf(fiber)),
    Context.empty(),
    noLinks,
    clock.unsafeCurrentTimeNanos(),
    "internal"
  )
  setAll(span, attributes())
  const tracks: Array<Track> = []
  const track = new SpanTrack(tracer, clock, Option.some(span), tracks, undefined)
  track.enter("validate")
  return {
    span,
    track,
    end: (exit) => {
      // Spans are kept until they are exported, and results are large and the user's own.
      const told = Exit.isSuccess(exit) ? Exit.void : exit
      for (const track of tracks) track.end(told)
      span.end(clock.unsafeCurrentTimeNanos(), told)
    }
  }
}

class SpanTrack implements Track {
  private readonly tracer: Tracer.Tracer
  private readonly clock: Clock.Clock
  private readonly parent: Option.Option<Tracer.Span>
  private readonly tracks: Array<Track>
  private readonly index: number | undefined
  private phase: Phase | undefined
  private current: Tracer.Span | undefined
  private hasRun = false

  constructor(
    tracer: Tracer.Tracer,
    clock: Clock.Clock,
    parent: Option.Option<Tracer.Span>,
    tracks: Array<Track>,
    index: number | undefined
  ) {
    this.tracer = tracer
    this.clock = clock
    this.parent = parent
    this.tracks = tracks
    this.index = index
    tracks.push(this)
  }

  enter(phase: Phase, attributes?: Attributes): void {
    if (phase !== this.phase) this.change(phase, this.clock.unsafeCurrentTimeNanos())
    if (attributes !== undefined && this.current !== undefined) setAll(this.current, attributes)
  }

  arrived(): void {
    const now = this.clock.unsafeCurrentTimeNanos()
    if (!this.hasRun) this.change("running", now)
    this.change("decode", now)
  }

  get isPart(): boolean {
    return this.index !== undefined
  }

  partRead(): void {
    this.end(Exit.void)
  }

  attribute(name: string, value: unknown): void {
    this.current?.attribute(name, value)
  }

  part(index: number): Track {
    this.change(undefined, this.clock.unsafeCurrentTimeNanos())
    const part = new SpanTrack(this.tracer, this.clock, this.parent, this.tracks, index)
    part.enter("wait for turn")
    return part
  }

  end(exit: Exit.Exit<unknown, unknown>): void {
    this.current?.end(this.clock.unsafeCurrentTimeNanos(), exit)
    this.current = undefined
    this.phase = undefined
  }

  private change(phase: Phase | undefined, now: bigint): void {
    this.current?.end(now, Exit.void)
    this.phase = phase
    this.current = undefined
    if (phase === undefined) return
    if (phase === "submit") this.hasRun = false
    else if (phase === "running") this.hasRun = true
    this.current = this.tracer.span(phase, this.parent, Context.empty(), noLinks, now, "internal")
    if (this.index !== undefined) this.current.attribute("part", this.index)
  }
}

const noLinks: ReadonlyArray<Tracer.SpanLink> = []

const setAll = (span: Tracer.Span, attributes: Attributes): void => {
  for (const name in attributes) {
    if (attributes[name] !== undefined) span.attribute(name, attributes[name])
  }
}
