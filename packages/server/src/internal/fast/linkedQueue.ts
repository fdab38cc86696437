/**
 * Things in the order in which they came, any of which may leave. A `Map` does the same and keeps the places of those that left
 * until it grows, so whoever asks it for the oldest walks over all of them; and it hashes a key for each step.
 */
export class LinkedQueue<T> {
  private first: Node<T> | undefined = undefined
  private last: Node<T> | undefined = undefined
  private count = 0

  get size(): number {
    return this.count
  }

  oldest(): T | undefined {
    return this.first?.value
  }

  /** Takes the oldest out. */
  shift(): T | undefined {
    const { first } = this
    if (first !== undefined) this.remove(first)
    return first?.value
  }

  add(value: T): Place<T> {
    const node: Node<T> = { queue: this, value, before: this.last, after: undefined }
    if (this.last === undefined) this.first = node
    else this.last.after = node
    this.last = node
    this.count += 1
    return node
  }

  /** False for one that has left before. */
  remove(place: Place<T>): boolean {
    const node = place as Node<T>
    if (node.queue !== this) return false
    const { after, before } = node
    if (before === undefined) this.first = after
    else before.after = after
    if (after === undefined) this.last = before
    else after.before = before
    node.queue = node.before = node.after = undefined
    this.count -= 1
    return true
  }
}

/** The place of a value, by which it leaves the queue. */
export interface Place<T> {
  readonly value: T
}

interface Node<T> extends Place<T> {
  /** Undefined for one that has left. */
  queue: LinkedQueue<T> | undefined
  before: Node<T> | undefined
  after: Node<T> | undefined
}
