import { assert, describe, it } from "@effect/vitest"
import * as PrefixCache from "../src/PrefixCache.js"

const owner = {}
const arrays = (floats: number) => () => [new Float32Array(floats)]
const tokens = (...tokens: ReadonlyArray<number>) => Int32Array.from(tokens)
const lengthOf = (cache: PrefixCache.PrefixCache, from: object, ...wanted: ReadonlyArray<number>) =>
  cache.find(from, wanted)?.length

describe("PrefixCache", () => {
  it("finds the entry that has the most in common, of the same owner only", () => {
    const cache = PrefixCache.make({ maxBytes: 1000 })
    cache.add(owner, tokens(1, 2, 3), arrays(1))
    cache.add(owner, tokens(1, 2, 4, 5), arrays(2))
    const found = cache.find(owner, [1, 2, 4, 9])
    assert.deepStrictEqual([found?.length, found?.of, found?.arrays[0]?.length], [3, 4, 2])
    assert.isUndefined(cache.find(owner, [2, 1]))
    assert.isUndefined(cache.find({}, [1, 2, 3]))
  })

  it("drops those used longest ago when there is no room, but never the newest", () => {
    const cache = PrefixCache.make({ maxBytes: 8 })
    cache.add(owner, tokens(1), arrays(1))
    cache.add(owner, tokens(2), arrays(1))
    assert.strictEqual(lengthOf(cache, owner, 1), 1)
    cache.add(owner, tokens(3), arrays(1))
    assert.isUndefined(lengthOf(cache, owner, 2))
    assert.strictEqual(lengthOf(cache, owner, 1), 1)
    assert.strictEqual(cache.bytes, 8)
    cache.add(owner, tokens(4), arrays(100))
    assert.strictEqual(lengthOf(cache, owner, 4), 1)
    assert.isUndefined(lengthOf(cache, owner, 1))
    assert.strictEqual(cache.bytes, 400)
  })

  it("keeps only the longest of those that continue one another", () => {
    const cache = PrefixCache.make({ maxBytes: 1000 })
    cache.add(owner, tokens(1, 2), arrays(2))
    cache.add(owner, tokens(1, 2, 3), arrays(3))
    assert.strictEqual(cache.bytes, 12)
    cache.add(owner, tokens(1), () => assert.fail("nothing is to be copied"))
    assert.strictEqual(cache.bytes, 12)
  })

  it("forgets what an owner had", () => {
    const cache = PrefixCache.make({ maxBytes: 1000 })
    const other = {}
    cache.add(owner, tokens(1), arrays(1))
    cache.add(other, tokens(1), arrays(1))
    cache.remove(owner)
    assert.isUndefined(lengthOf(cache, owner, 1))
    assert.strictEqual(lengthOf(cache, other, 1), 1)
    assert.strictEqual(cache.bytes, 4)
  })
})
