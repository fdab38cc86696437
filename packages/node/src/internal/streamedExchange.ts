import type { Dispatcher } from "undici"
import type { Handler } from "./connections.js"

/** What an answer begins with. */
export interface Head {
  readonly status: number
  readonly headers: Record<string, string | Array<string> | undefined>
}

/** Takes parts of a body; there are none at its end. */
export type Taken = (error: Error | null, parts: ReadonlyArray<Uint8Array>) => void

/**
 * How parts go from the socket to whoever takes them:
 *
 * - `own`: as they are
 * - `copied`: the connection overwrites them
 * - `lent`: gathered in memory that is used again when the next are taken
 */
export type Ownership = "own" | "copied" | "lent"

/**
 * One request whose answer is read as it arrives. Parts wait here until they are taken; while many wait the socket is not
 * read, so that the server stops sending.
 */
export class StreamedExchange implements Handler {
  onEnd: ((refused: boolean) => void) | undefined
  cut: (() => void) | undefined
  private onHead: ((error: Error | null, head: Head | undefined) => void) | undefined
  private controller: Dispatcher.DispatchController | undefined
  private aborted = false
  private ended = false
  private failure: Error | undefined
  private status = 0
  private bytes = 0
  private parts: Array<Uint8Array> = []
  private waitingBytes = 0
  private taker: Taken | undefined
  private waking = false
  readonly ownership: Ownership
  /** The memory of lent parts that is being filled; the other is taken, or was taken last. */
  private block: Uint8Array | undefined
  private otherBlock: Uint8Array | undefined
  private filled = 0

  constructor(ownership: Ownership, onHead: (error: Error | null, head: Head | undefined) => void) {
    this.ownership = ownership
    this.onHead = onHead
  }

  /** Closes the connection, unless the answer has ended. */
  abort(): void {
    if (this.ended || this.aborted) return
    this.aborted = true
    if (this.cut === undefined) this.controller?.abort(new Error("interrupted"))
    else this.cut()
  }

  /** Hands over what has arrived; if nothing has, what comes next. There is one taker at a time. */
  take(taken: Taken): void {
    if (this.waitingBytes > 0) {
      const { parts } = this
      this.parts = []
      this.waitingBytes = 0
      if (this.filled > 0) {
        const block = this.block!
        parts.unshift(block.subarray(0, this.filled))
        this.filled = 0
        this.block = this.otherBlock
        this.otherBlock = block
      }
      if (this.controller?.paused === true) this.controller.resume()
      taken(null, parts)
    } else if (this.failure !== undefined) taken(this.failure, [])
    else if (this.ended) taken(null, [])
    else this.taker = taken
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
    if (this.aborted) controller.abort(new Error("interrupted"))
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Head["headers"]): void {
    // Others only announce the answer.
    if (status < 200) return
    this.status = status
    this.tell(null, { status, headers })
  }

  onResponseData(controller: Dispatcher.DispatchController, part: Uint8Array): void {
    this.bytes += part.length
    if (this.ownership === "own") this.parts.push(part)
    else if (this.ownership === "copied") this.parts.push(Uint8Array.prototype.slice.call(part))
    else this.gather(part)
    this.waitingBytes += part.length
    this.wake()
    if (this.waitingBytes >= mostWaitingBytes) controller.pause()
  }

  onResponseEnd(): void {
    this.ended = true
    this.onEnd?.(this.status === 400 && this.bytes === 0)
    this.wake()
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.ended = true
    this.failure = error
    this.onEnd?.(false)
    this.tell(error, undefined)
    this.wake()
  }

  private gather(part: Uint8Array): void {
    const block = this.block ??= new Uint8Array(blockBytes)
    if (this.parts.length > 0 || this.filled + part.length > block.length) {
      this.parts.push(Uint8Array.prototype.slice.call(part))
      return
    }
    block.set(part, this.filled)
    this.filled += part.length
  }

  private tell(error: Error | null, head: Head | undefined): void {
    const onHead = this.onHead
    this.onHead = undefined
    onHead?.(error, head)
  }

  /** Hands parts over soon, with what the socket has by now: whoever takes parts does so at a cost. */
  private wake(): void {
    if (this.taker === undefined || this.waking) return
    this.waking = true
    setImmediate(this.give)
  }

  private readonly give = (): void => {
    this.waking = false
    const taker = this.taker
    this.taker = undefined
    if (taker !== undefined) this.take(taker)
  }
}

/** The bytes that may wait: a few reads of a socket, enough to keep a disk busy meanwhile. */
const mostWaitingBytes = 256 * 1024

/** The bytes of a block, in which the part that is one too many fits too. */
const blockBytes = mostWaitingBytes + 512 * 1024
