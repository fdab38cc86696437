/**
 * The order of one model's requests. A call takes its place at once; its numbers on the wire are taken when it is sent.
 *
 * So calls keep their order whatever fiber made them, and a call that ends before it is sent leaves no hole: the server
 * executes by number and waits for missing ones.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import { isDefinitelyRefused, SessionClosedError, type TinkerError } from "./TinkerError.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface RequestSequence {
  /**
   * Takes a place in the order in its first step, runs `prepare`, waits for the turn, and then submits.
   *
   * Interrupting before the turn gives the place back. What is being sent goes on in the sequence's scope, holding the
   * turn, because whether the server took it must be known before the next number can be used.
   */
  readonly run: <P, A>(call: Call<P, A>) => Effect.Effect<A, TinkerError>
}

/**
 * @since 0.1.0
 * @category models
 */
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

/**
 * What the call whose turn it is may do.
 *
 * @since 0.1.0
 * @category models
 */
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
 *
 * @since 0.1.0
 * @category models
 */
export type Numbered<A> = (seqId: number, note: (error: TinkerError) => void) => Effect.Effect<A, TinkerError>

/**
 * The first request gets the number `first`: 1 for a new model, whose creation is 0.
 *
 * `filler` is a request without effect. It is sent under a number of which it is not known whether the server has it:
 * either that number is taken and the filler refused, or the filler closes the gap at which the server would wait.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly scope: Scope.Scope
  readonly filler: Numbered<unknown>
  readonly first?: number | undefined
}): RequestSequence => {
  const { filler, scope } = options
  const places: Array<Place> = []
  let seqId = options.first ?? 1
  let uncertain: ReadonlyArray<number> = []

  const take = (): Place => {
    const place: Place = { turn: Deferred.unsafeMake<void>(FiberId.none), left: false }
    places.push(place)
    if (places[0] === place) Deferred.unsafeDone(place.turn, Effect.void)
    return place
  }

  const leave = (place: Place): void => {
    place.left = true
    while (places[0]?.left === true) {
      places.shift()
      if (places[0] !== undefined) Deferred.unsafeDone(places[0].turn, Effect.void)
    }
  }

  const settle: Effect.Effect<void, TinkerError> = Effect.suspend(() =>
    uncertain.length === 0
      ? Effect.void
      : Effect.forEach(uncertain, (number) =>
        Effect.catchIf(Effect.asVoid(filler(number, () => {})), isOfTheRequest, () =>
          Effect.void).pipe(
            Effect.tap(() => {
              uncertain = uncertain.filter((other) => other !== number)
            })
          ), { discard: true })
  )

  const sendUnder = <A>(number: number, request: Numbered<A>): Effect.Effect<Sent<A>> =>
    Effect.suspend(() => {
      let refused = true
      const note = (error: TinkerError) => {
        refused &&= isDefinitelyRefused(error)
      }
      return Effect.map(Effect.exit(request(number, note)), (exit) => ({ exit, refused }))
    })

  const turn: Turn = {
    send: (request) =>
      Effect.zipRight(
        settle,
        Effect.flatMap(Effect.suspend(() => sendUnder(seqId, request)), ({ exit, refused }) => {
          if (Exit.isFailure(exit) && !refused) uncertain = [...uncertain, seqId]
          if (Exit.isSuccess(exit) || !refused) seqId += 1
          return exit
        })
      ),
    sendAll: (requests, onFailure) =>
      Effect.zipRight(
        settle,
        Effect.suspend(() => {
          const base = seqId
          const send = (i: number) => sendUnder(base + i, requests[i]!)
          const later = requests.map((_, i) => i).slice(1)
          return Effect.flatMap(
            // Each runs to its end, so that it is known which numbers the server has.
            Effect.forEach(later, send, { concurrency: "unbounded" }),
            (sent) =>
              Effect.flatMap(
                sent.every(({ exit }) => Exit.isSuccess(exit)) ? Effect.asSome(send(0)) : Effect.succeedNone,
                (first) => conclude(base, [first._tag === "Some" ? first.value : unsent, ...sent], onFailure)
              )
          )
        })
      )
  }

  const conclude = <A>(
    base: number,
    sent: ReadonlyArray<Sent<A>>,
    onFailure: (error: TinkerError, accepted: number) => TinkerError
  ): Effect.Effect<ReadonlyArray<A>, TinkerError> => {
    const results: Array<A> = []
    for (const { exit } of sent) if (Exit.isSuccess(exit)) results.push(exit.value)
    if (results.length === sent.length) {
      seqId = base + sent.length
      return Effect.succeed(results)
    }
    const last = sent.findLastIndex(({ exit, refused }) => Exit.isSuccess(exit) || !refused)
    seqId = base + last + 1
    uncertain = [
      ...uncertain,
      ...sent.flatMap(({ exit }, i) => i <= last && Exit.isFailure(exit) ? [base + i] : [])
    ]
    const failure = sent.find(({ exit }) => Exit.isFailure(exit) && exit !== unsent.exit) ?? unsent
    return Effect.zipRight(
      Effect.ignore(settle),
      Effect.mapError(failure.exit, (error) => onFailure(error, results.length))
    ) as Effect.Effect<never, TinkerError>
  }

  return {
    run: <P, A>({ afterwards, operation, prepare, submit, unwanted }: Call<P, A>) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.suspend(() => {
          const place = take()
          const left = Effect.sync(() => leave(place))
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
        })
      )
  }
}

/** What refuses a filler because of itself, and so of its number, rather than because of who asks, and when. */
const isOfTheRequest = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError" && (error.reason === "BadRequest" || error.reason === "UnprocessableEntity")

interface Sent<A> {
  readonly exit: Exit.Exit<A, TinkerError>
  /** By every attempt, definitely. */
  readonly refused: boolean
}

const unsent: Sent<never> = { exit: Exit.interrupt(FiberId.none), refused: true }

interface Place {
  readonly turn: Deferred.Deferred<void>
  left: boolean
}
