/**
 * Runs callbacks a few at a time, with a turn of the event loop between. Answers of thousands of requests may arrive in one
 * turn, and what follows each takes longer than reading it: run at once, they would keep timers waiting.
 */
const atOnce = 16

export class Turns {
  private readonly waiting: Array<() => void> = []
  private next = 0
  private scheduled = false

  readonly add = (callback: () => void): void => {
    this.waiting.push(callback)
    this.schedule()
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    setImmediate(this.run)
  }

  private readonly run = (): void => {
    this.scheduled = false
    const end = Math.min(this.next + atOnce, this.waiting.length)
    while (this.next < end) this.waiting[this.next++]!()
    if (this.next < this.waiting.length) return this.schedule()
    this.waiting.length = 0
    this.next = 0
  }
}
