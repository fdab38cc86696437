import { assert, it } from "@effect/vitest"
import { Chunk, Duration, Effect, FastCheck, Queue, Stream } from "effect"
import { ServerSentEvents } from "effect-tinker"

const encoder = new TextEncoder()

const eventsOf = (...parts: ReadonlyArray<string | Uint8Array>) =>
  Stream.fromIterable(parts).pipe(
    Stream.map((part) => typeof part === "string" ? encoder.encode(part) : part),
    ServerSentEvents.decode,
    Stream.runCollect,
    Effect.map(Chunk.toReadonlyArray),
    Effect.runSync
  )

const short = (...parts: ReadonlyArray<string | Uint8Array>) =>
  eventsOf(...parts).map(({ data, event, lastEventId }) => [event, data, lastEventId] as const)

const vectors: ReadonlyArray<readonly [string, string, ReadonlyArray<readonly [string, string, string]>]> = [
  ["joins lines of data", "data: YHOO\ndata: +2\ndata: 10\n\n", [["message", "YHOO\n+2\n10", ""]]],
  [
    "passes over comments, keeps ids, takes one blank off values, and drops what is unfinished",
    ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event",
    [["message", "first event", "1"], ["message", "second event", ""]]
  ],
  ["tells events whose data are empty", "data\n\ndata\ndata\n\ndata:", [["message", "", ""], ["message", "\n", ""]]],
  ["takes a value with and without a blank alike", "data:test\n\ndata: test\n\n", [
    ["message", "test", ""],
    ["message", "test", ""]
  ]],
  ["names types of events, once each", "event: add\ndata: 1\n\ndata: 2\n\n", [["add", "1", ""], ["message", "2", ""]]],
  ["tells no event without data, and forgets its type", "event: add\n\ndata: 1\n\n", [["message", "1", ""]]],
  ["ends lines with CR", "data: 1\rdata: 2\r\r", [["message", "1\n2", ""]]],
  ["ends lines with CRLF", "data: 1\r\ndata: 2\r\n\r\n", [["message", "1\n2", ""]]],
  ["ends lines with all three", "data: 1\r\ndata: 2\ndata: 3\r\r\n", [["message", "1\n2\n3", ""]]],
  ["keeps an id for later events", "id: 7\ndata: 1\n\ndata: 2\n\n", [["message", "1", "7"], ["message", "2", "7"]]],
  ["does not take an id with NUL", "id: 7\ndata: 1\n\nid: 8\0\ndata: 2\n\n", [
    ["message", "1", "7"],
    ["message", "2", "7"]
  ]],
  ["takes an id of an event that is not told", "id: 7\n\ndata: 1\n\n", [["message", "1", "7"]]],
  ["passes over fields that it does not know, and their letters", "foo: 1\nDATA: 2\n data: 3\ndata: 4\n\n", [
    ["message", "4", ""]
  ]],
  ["keeps colons in values", "data: a: b:c\n\n", [["message", "a: b:c", ""]]],
  ["leaves out a byte order mark at the beginning alone", "\uFEFFdata: 1\n\n\uFEFFdata: 2\n\ndata: 3\n\n", [
    ["message", "1", ""],
    ["message", "3", ""]
  ]],
  ["has no end of line but those three", "data: a\u2028b\vc\n\n", [["message", "a\u2028b\vc", ""]]]
]

for (const [what, text, expected] of vectors) {
  it(`an event stream ${what}`, () => {
    assert.deepStrictEqual(short(text), expected)
  })
}

it("the time to wait is taken of digits alone, and kept", () => {
  const retries = eventsOf("data: 1\n\nretry: 1500\ndata: 2\n\nretry: 1s\nretry: -1\nretry:\ndata: 3\n\n").map((
    { retry }
  ) => retry && Duration.toMillis(retry))
  assert.deepStrictEqual(retries, [undefined, 1500, 1500])
})

it("wherever the bytes are cut, the events are the same", () => {
  const pieces = [
    "\n",
    "\r",
    "\r\n",
    "data: ",
    "data",
    "event: x",
    "id: 1",
    "retry: 2",
    ":c",
    "é",
    "🎈",
    "\uFEFF",
    " ",
    "a"
  ]
  FastCheck.assert(
    FastCheck.property(
      FastCheck.array(FastCheck.constantFrom(...pieces), { maxLength: 40 }),
      FastCheck.array(FastCheck.nat(160), { maxLength: 12 }),
      (words, cuts) => {
        const bytes = encoder.encode(words.join(""))
        const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length]
        const parts = at.slice(1).map((end, i) => bytes.subarray(at[i], end))
        assert.deepStrictEqual(eventsOf(...parts), eventsOf(bytes))
      }
    ),
    { numRuns: 500, seed: 1 }
  )
})

it("a stream that is cut after every byte tells the same", () => {
  for (const [, text, expected] of vectors) {
    assert.deepStrictEqual(short(...Array.from(encoder.encode(text), (byte) => Uint8Array.of(byte))), expected)
  }
})

it.effect("an event is told while the stream is still open", () =>
  Effect.gen(function*() {
    const bytes = yield* Queue.unbounded<Uint8Array>()
    yield* Queue.offer(bytes, encoder.encode("data: 1\r"))
    yield* Queue.offer(bytes, encoder.encode("\r"))
    const first = yield* Stream.fromQueue(bytes).pipe(ServerSentEvents.decode, Stream.runHead)
    assert.strictEqual(first._tag === "Some" && first.value.data, "1")
  }))
