import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { makeSignal } from "../signal.js"

/**
 * Answers to the questions of a stream, so many at once. Each fiber takes its next question itself as soon as its last is answered,
 * and all answers that are there are taken together: a queue and a fiber for each question would cost as much as the question.
 *
 * No more than twice as many are drawn as may be under way until the consumer has taken their answers. What ends the questions
 * ends the answers, behind those to the questions before. Whoever stops reading interrupts what is under way.
 */
export const answersInPlace = <A, B, E, R>(
  questions: Stream.Stream<A, E, R>,
  answer: (question: A, index: number) => Effect.Effect<B>,
  { concurrency, unordered }: { readonly concurrency: number; readonly unordered: boolean }
): Stream.Stream<B, E, R> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const pull = yield* Stream.toPull(questions)
    const most = 2 * concurrency
    let drawn = 0
    let delivered = 0
    let taken = 0
    let waiting: ReadonlyArray<A> = []
    let position = 0
    let end: Cause.Cause<Option.Option<E>> | undefined
    let defect: Cause.Cause<never> | undefined
    let answers: Array<B> = []
    /** The answers that come too early, by their places. */
    const early = new Map<number, B>()
    const arrival = makeSignal()
    const room = makeSignal()
    const supply = makeSignal()
    let isPulling = false

    const deliver = (index: number, value: B): void => {
      if (unordered) answers.push(value)
      else if (index !== delivered) return void early.set(index, value)
      else answers.push(value)
      delivered += 1
      for (let next = early.get(delivered); next !== undefined; next = early.get(delivered)) {
        early.delete(delivered++)
        answers.push(next)
      }
      arrival.give()
    }

    const refill = Effect.suspend(() => {
      isPulling = true
      return Effect.matchCause(pull, {
        onFailure: (cause) => {
          end = cause
          arrival.give()
          supply.give()
        },
        onSuccess: (chunk) => {
          waiting = Chunk.toReadonlyArray(chunk)
          position = 0
          isPulling = false
          supply.give()
        }
      })
    })

    const work = Effect.suspend(() => {
      let index: number | undefined
      return Effect.whileLoop({
        while: () => end === undefined || position < waiting.length,
        body: (): Effect.Effect<B | void, never, R> => {
          index = undefined
          if (drawn - taken >= most) return room.wait
          if (position === waiting.length) return isPulling ? supply.wait : refill
          index = drawn++
          return answer(waiting[position++]!, index)
        },
        step: (value) => {
          if (index !== undefined) deliver(index, value as B)
        }
      })
    })

    // What is under way ends together, not one after the other.
    yield* Effect.forEach(Array.from({ length: concurrency }), () => work, { concurrency, discard: true }).pipe(
      Effect.catchAllCause((cause) =>
        Effect.sync(() => {
          defect = cause
          arrival.give()
        })
      ),
      Effect.forkScoped
    )

    /** Gathers answers until a turn of the timers brings none: handing them on one by one would cost as much as all else here. */
    const gathering: Effect.Effect<void> = Effect.suspend(() => {
      const before = answers.length
      return Effect.flatMap(
        Effect.sleep(0),
        () => answers.length === before || answers.length >= concurrency ? Effect.void : gathering
      )
    })

    const take: Effect.Effect<Chunk.Chunk<B>, Option.Option<E>> = Effect.suspend(() => {
      if (defect !== undefined) return Effect.failCause(defect)
      if (answers.length > 0) {
        const all = answers
        answers = []
        taken += all.length
        room.give()
        return Effect.succeed(Chunk.unsafeFromArray(all))
      }
      return end !== undefined && delivered === drawn && position === waiting.length
        ? Effect.failCause(end)
        : Effect.zipRight(Effect.zipRight(arrival.wait, gathering), take)
    })
    return Stream.repeatEffectChunkOption(take)
  }))
