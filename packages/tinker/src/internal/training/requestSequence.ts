/**
 * The order of one model's requests. A call takes its place at once; its numbers on the wire are taken when it is sent.
 *
 * So calls keep their order whatever fiber made them, and a call that ends before it is sent leaves no hole: the server
 * executes by number and waits for missing ones.
 */
import {
  isDefinitelyRefused,
  OutcomeUnknownError,
  SessionClosedError,
  type TinkerError,
  withDoubt,
  withOperation
} from "@effect-tinker/protocol/TinkerError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import { cannotServe, isNumberConflict, isNumberTaken } from "./numberRefusal.js"

export interface RequestSequence {
  /**
   * Takes a place in the order in its first step, runs `prepare`, waits for the turn, and then submits.
   *
   * Interrupting before the turn gives the place back. What is being sent goes on in the sequence's scope, holding the
   * turn, because whether the server took it must be known before the next number can be used.
   */
  readonly run: <P, A>(call: Call<P, A>) => Effect.Effect<A, TinkerError>
}

export interface Call<P, A> {
  /** Named in errors. */
  readonly operation: string
  readonly prepare: Effect.Effect<P, TinkerError>
  readonly submit: (prepared: P, turn: Turn) => Effect.Effect<A, TinkerError>
  /**
   * What else has to happen before the next call's turn, when the caller has its answer already. Runs in a region that is
   * uninterruptible, so that it can tell of its own interruption.
   */
  readonly afterwards?: ((answer: A, prepared: P, turn: Turn) => Effect.Effect<void>) | undefined
  /** Runs with an answer that came for a caller who was interrupted while the request was on its way. */
  readonly unwanted?: ((answer: A) => Effect.Effect<void>) | undefined
}

/** What the call whose turn it is may do. */
export interface Turn {
  /** Sends a request under the next number. A number that the server definitely refused is used again. */
  readonly send: <A>(request: Numbered<A>) => Effect.Effect<A, TinkerError>

  /**
   * Sends several requests, with consecutive numbers in their order. All but the first are sent at once, and the first when
   * they were accepted: the server begins with the lowest number, and so sees all of them before it begins.
   *
   * Fails with the first error, `accepted` being how many requests the server took nevertheless. Their numbers are spent,
   * and those missing between them are filled.
   */
  readonly sendAll: <A>(
    requests: ReadonlyArray<Numbered<A>>,
    onFailure: (error: TinkerError, accepted: number) => TinkerError
  ) => Effect.Effect<ReadonlyArray<A>, TinkerError>
}

/**
 * A request that is given its number when it is sent. It makes as many attempts as it wants, and tells of each failure
 * through `note`.
 */
export type Numbered<A> = (seqId: number, note: (error: TinkerError) => void) => Effect.Effect<A, TinkerError>

/**
 * The first request gets the number `first`: 1 for a new model, whose creation is 0.
 *
 * `fillers` are requests without effect. One is sent under a number of which it is not known whether the server has it: either
 * that number is taken and the filler refused, or the filler closes the gap at which the server would wait. The second is for
 * servers that cannot serve the first, and so on. `keepsNumbers` false is for servers that do not go by numbers, where nothing
 * has to be closed.
 */
export const make = (options: {
  readonly scope: Scope.Scope
  readonly fillers: ReadonlyArray<Numbered<unknown>>
  readonly first?: number | undefined
  readonly keepsNumbers?: (() => boolean) | undefined
}): RequestSequence => {
  const { fillers, first = 1, keepsNumbers = () => true, scope } = options
  const queue = makeQueue()
  const numbers: Numbers = { next: first, uncertain: [], fillers, keepsNumbers }
  return {
    run: (call) =>
      Effect.uninterruptibleMask((restore) => Effect.suspend(() => inTurn(call, queue, numbers, scope, restore)))
  }
}

/** The places of calls, first to last. */
interface Queue {
  readonly take: () => Place
  readonly leave: (place: Place) => void
}

interface Place {
  readonly turn: Deferred.Deferred<void>
  hasLeft: boolean
}

const makeQueue = (): Queue => {
  const places: Array<Place> = []
  return {
    take: () => {
      const place: Place = { turn: Deferred.unsafeMake<void>(FiberId.none), hasLeft: false }
      places.push(place)
      if (places[0] === place) Deferred.unsafeDone(place.turn, Effect.void)
      return place
    },
    leave: (place) => {
      place.hasLeft = true
      while (places[0]?.hasLeft === true) {
        places.shift()
        if (places[0] !== undefined) Deferred.unsafeDone(places[0].turn, Effect.void)
      }
    }
  }
}

/** One call, from its place in the queue to what happens after its answer. */
const inTurn = <P, A>(
  { afterwards, operation, prepare, submit, unwanted }: Call<P, A>,
  queue: Queue,
  numbers: Numbers,
  scope: Scope.Scope,
  restore: <B, E, R>(effect: Effect.Effect<B, E, R>) => Effect.Effect<B, E, R>
): Effect.Effect<A, TinkerError> => {
  const place = queue.take()
  const left = Effect.sync(() => queue.leave(place))
  const turn = turnOf(numbers, operation)
  const answer = Deferred.unsafeMake<A, TinkerError>(FiberId.none)
  let isWanted = true
  const leaveAnswer = Effect.suspend(() => {
    isWanted = false
    return Effect.flatMap(Deferred.isDone(answer), (isThere) =>
      isThere && unwanted !== undefined
        ? Effect.ignore(Effect.flatMap(Deferred.await(answer), unwanted))
        : Effect.void)
  })
  const sending = (prepared: P) =>
    Effect.suspend(() => submit(prepared, turn)).pipe(
      Effect.interruptible,
      Effect.onExit((exit) =>
        Deferred.done(
          answer,
          // The caller cannot interrupt this, so the scope of the client has closed.
          Exit.isInterrupted(exit) ? Exit.fail(new SessionClosedError({ operation, reason: "closed" })) : exit
        )
      ),
      Effect.tap((value) => isWanted || unwanted === undefined ? Effect.void : unwanted(value)),
      Effect.flatMap((value) => afterwards === undefined ? Effect.void : afterwards(value, prepared, turn)),
      Effect.ensuring(left),
      Effect.forkIn(scope)
    )
  return restore(Effect.tap(prepare, () => Deferred.await(place.turn))).pipe(
    Effect.onError(() => left),
    Effect.flatMap(sending),
    Effect.zipRight(Effect.onInterrupt(restore(Deferred.await(answer)), () => leaveAnswer))
  )
}

/** The numbers of a model's requests on the wire. */
interface Numbers {
  next: number
  /** The numbers of which it is not known whether the server has them. */
  uncertain: ReadonlyArray<Uncertain>
  readonly fillers: ReadonlyArray<Numbered<unknown>>
  readonly keepsNumbers: () => boolean
}

/** A number that the server may have. */
interface Uncertain {
  readonly seqId: number
  /** The call that was sent under it. */
  readonly operation: string
}

const turnOf = (numbers: Numbers, operation: string): Turn => ({
  send: (request) => Effect.zipRight(settle(numbers, operation), sendNext(numbers, operation, request, [])),
  sendAll: (requests, onFailure) =>
    Effect.zipRight(
      settle(numbers, operation),
      Effect.suspend(() => {
        const base = numbers.next
        const send = (i: number) => sendUnder(base + i, requests[i]!)
        const later = requests.map((_, i) => i).slice(1)
        return Effect.flatMap(
          // Each runs to its end, so that it is known which numbers the server has.
          Effect.forEach(later, send, { concurrency: "unbounded" }),
          (sent) =>
            Effect.flatMap(
              sent.every(({ exit }) => Exit.isSuccess(exit)) ? Effect.asSome(send(0)) : Effect.succeedNone,
              (first) =>
                conclude(numbers, operation, base, [first._tag === "Some" ? first.value : unsent, ...sent], onFailure)
            )
        )
      })
    )
})

/** Finds out about numbers whose fate is unknown, on behalf of the call `operation`. */
const settle = (numbers: Numbers, operation: string): Effect.Effect<void, TinkerError> =>
  Effect.suspend(() => {
    if (!numbers.keepsNumbers()) numbers.uncertain = []
    return numbers.uncertain.length === 0
      ? Effect.void
      : Effect.forEach(numbers.uncertain, (one) =>
        Effect.map(fill(numbers.fillers, operation, one, 0), () => {
          numbers.uncertain = numbers.uncertain.filter((other) => other !== one)
        }), { discard: true })
  })

const fill = (
  fillers: Numbers["fillers"],
  operation: string,
  one: Uncertain,
  attempt: number
): Effect.Effect<void, TinkerError> =>
  Effect.matchEffect(fillers[attempt]!(one.seqId, () => {}), {
    onSuccess: () => Effect.void,
    onFailure: (error) => {
      if (isNumberTaken(error)) return Effect.void
      if (!cannotServe(error)) return Effect.fail(withOperation(error, operation))
      if (attempt + 1 < fillers.length) return fill(fillers, operation, one, attempt + 1)
      // A filler names nothing that could exist already, so what it conflicts with is its number.
      return isNumberConflict(error)
        ? Effect.void
        : new OutcomeUnknownError({
          operation,
          unknownCall: one.operation,
          seqId: one.seqId,
          isEarlier: true,
          description: "its answer was lost, and the server refuses each request that would tell",
          cause: error
        })
    }
  })

/** The most numbers in a row that are passed over; a server that says so of more means something else. */
const mostPassedOver = 3

/** A number that turns out to be taken by an earlier request is passed over. */
const sendNext = <A>(
  numbers: Numbers,
  operation: string,
  request: Numbered<A>,
  passedOver: ReadonlyArray<Uncertain>
): Effect.Effect<A, TinkerError> =>
  Effect.flatMap(Effect.suspend(() => sendUnder(numbers.next, request)), ({ exit, isTaken, refused }) => {
    const one = { seqId: numbers.next, operation }
    if (Exit.isSuccess(exit)) {
      numbers.next += 1
      if (passedOver.length === 0) return exit
      // Had the server not meant the numbers, it would wait at them.
      numbers.uncertain = [...numbers.uncertain, ...passedOver]
      return Effect.zipRight(Effect.ignore(settle(numbers, operation)), exit)
    }
    if (isTaken && passedOver.length < mostPassedOver) {
      numbers.next += 1
      return sendNext(numbers, operation, request, [...passedOver, one])
    }
    // Where the server said so of all of them, it may have meant something else.
    numbers.uncertain = [...numbers.uncertain, ...passedOver]
    if (refused) return exit
    numbers.uncertain = [...numbers.uncertain, one]
    numbers.next += 1
    return Effect.mapError(exit, withDoubt)
  })

const sendUnder = <A>(number: number, request: Numbered<A>): Effect.Effect<Sent<A>> =>
  Effect.suspend(() => {
    let refused = true
    let isTaken = false
    const note = (error: TinkerError) => {
      isTaken ||= refused && isNumberTaken(error)
      refused &&= isDefinitelyRefused(error)
    }
    return Effect.map(Effect.exit(request(number, note)), (exit) => ({ exit, refused, isTaken: isTaken && refused }))
  })

const conclude = <A>(
  numbers: Numbers,
  operation: string,
  base: number,
  sent: ReadonlyArray<Sent<A>>,
  onFailure: (error: TinkerError, accepted: number) => TinkerError
): Effect.Effect<ReadonlyArray<A>, TinkerError> => {
  const results: Array<A> = []
  for (const { exit } of sent) if (Exit.isSuccess(exit)) results.push(exit.value)
  if (results.length === sent.length) {
    numbers.next = base + sent.length
    return Effect.succeed(results)
  }
  const last = sent.findLastIndex(({ exit, isTaken, refused }) => Exit.isSuccess(exit) || isTaken || !refused)
  numbers.next = base + last + 1
  numbers.uncertain = [
    ...numbers.uncertain,
    ...sent.flatMap(({ exit }, i) => i <= last && Exit.isFailure(exit) ? [{ seqId: base + i, operation }] : [])
  ]
  const failure = sent.find(({ exit }) => Exit.isFailure(exit) && exit !== unsent.exit) ?? unsent
  return Effect.zipRight(
    Effect.ignore(settle(numbers, operation)),
    Effect.mapError(failure.exit, (error) => onFailure(failure.refused ? error : withDoubt(error), results.length))
  ) as Effect.Effect<never, TinkerError>
}

interface Sent<A> {
  readonly exit: Exit.Exit<A, TinkerError>
  /** Whether every attempt was definitely refused. */
  readonly refused: boolean
  /** The server says that the number is another request's. */
  readonly isTaken: boolean
}

const unsent: Sent<never> = { exit: Exit.interrupt(FiberId.none), refused: true, isTaken: false }
