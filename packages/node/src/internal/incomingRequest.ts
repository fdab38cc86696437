import type { IncomingMessage } from "node:http"
import { Readable } from "node:stream"
import { arrayBuffer, text } from "node:stream/consumers"

/**
 * A request of Node's server as the platform's constructor for requests of the web reads it: its own one for Node is not
 * public. Whoever knows streams of Node can read the body as one, unless `bytes` are all of it.
 */
export class IncomingRequest {
  readonly url: string
  readonly method: string
  readonly headers: IncomingMessage["headers"]
  /** The body, where it was read before anyone asked for it. */
  readonly bytes: Uint8Array | undefined
  private readonly message: IncomingMessage

  constructor(message: IncomingMessage, bytes?: Uint8Array) {
    this.message = message
    this.bytes = bytes
    this.url = message.url ?? "/"
    this.method = message.method ?? "GET"
    this.headers = message.headers
  }

  get socket(): IncomingMessage["socket"] {
    return this.message.socket
  }

  get body(): ReadableStream {
    return Readable.toWeb(this.content) as ReadableStream
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return arrayBuffer(this.content)
  }

  text(): Promise<string> {
    return text(this.content)
  }

  on(event: string, listener: (chunk: Uint8Array) => void): unknown {
    return this.message.on(event, listener)
  }

  off(event: string, listener: (chunk: Uint8Array) => void): unknown {
    return this.message.off(event, listener)
  }

  pause(): unknown {
    return this.message.pause()
  }

  private get content(): Readable {
    return this.bytes === undefined ? this.message : Readable.from([this.bytes])
  }
}
