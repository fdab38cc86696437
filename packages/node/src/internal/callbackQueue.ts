/**
 * Runs callbacks a few at a time, with a turn of the event loop between. Answers to thousands of requests may arrive in one
 * turn, and what follows each takes longer than reading it: run at once, they would keep timers and heartbeats waiting.
 */
export class CallbackQueue {
  private waiting: Array<() => void> = []
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
    if (this.next > this.waiting.length / 2) {
      this.waiting = this.waiting.slice(this.next)
      this.next = 0
    }
    if (this.next < this.waiting.length) this.schedule()
  }
}

const atOnce = 6
