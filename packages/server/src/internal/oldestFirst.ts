/**
 * A map that gives its oldest key at once. A `Map` remembers the places of deleted keys until it grows, and whoever begins with
 * its first key walks over all of them; this one goes on from where it was.
 */
export class OldestFirst<K, V> {
  private readonly values = new Map<K, V>()
  private keys = this.values.keys()
  private first: K | undefined = undefined

  get size(): number {
    return this.values.size
  }

  get(key: K): V | undefined {
    return this.values.get(key)
  }

  has(key: K): boolean {
    return this.values.has(key)
  }

  /** A key that is there already keeps its age. */
  set(key: K, value: V): void {
    this.values.set(key, value)
  }

  delete(key: K): boolean {
    if (key === this.first) this.first = undefined
    return this.values.delete(key)
  }

  oldest(): K | undefined {
    if (this.first !== undefined || this.values.size === 0) return this.first
    const next = this.keys.next()
    if (next.done !== true) return this.first = next.value
    // It came to the end before the keys that there are now.
    this.keys = this.values.keys()
    return this.first = this.keys.next().value
  }
}
