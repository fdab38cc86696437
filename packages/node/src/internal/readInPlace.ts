import { buildConnector } from "undici"

/** The bytes that one read of a socket may bring. */
const memoryBytes = 512 * 1024

/** What undici uses of a socket when it reads. */
interface Reader {
  read: (size?: number) => Uint8Array | null
  unshift: (part: Uint8Array) => void
  emit: (event: "readable") => boolean
}

/**
 * Connects sockets that read into one piece of memory again and again. New memory for every read, as sockets take it
 * otherwise, lies outside the heap, and at a few hundred MiB a second keeps the collector busy that looks for it inside.
 *
 * So every part of a body that such a connection brings is overwritten by the next, and is to be copied or used at once.
 */
export const connectInPlace = (options: buildConnector.BuildOptions): buildConnector.connector => {
  /** The memory, while it is handed out. */
  let arrived: Uint8Array | null = null
  /** Copies of what nobody took in time, or gave back. With TLS more may come after a socket was told to stop. */
  let backlog: Array<Uint8Array> = []

  const onArrival = function(this: unknown, size: number, memory: Uint8Array): boolean {
    const part = memory.subarray(0, size)
    if (backlog.length > 0) backlog.push(copyOf(part))
    else {
      arrived = part
      ;(this as Reader).emit("readable")
      if (arrived !== null) backlog.push(copyOf(part))
      arrived = null
    }
    // Otherwise the socket is not read until it is asked again.
    return backlog.length === 0
  }

  const connect = buildConnector({
    ...options,
    onread: { buffer: Buffer.allocUnsafeSlow(memoryBytes), callback: onArrival }
  } as buildConnector.BuildOptions)

  return (target, done) => {
    backlog = []
    connect(target, (...result) => {
      const [, socket] = result
      if (socket !== null) adapt(socket as unknown as Reader)
      done(...result)
    })
  }

  function adapt(socket: Reader): void {
    const read = socket.read.bind(socket)
    socket.read = (size) => {
      // Starts reading, or notices the end, which comes after all parts.
      if (size === 0) return backlog.length > 0 ? null : read(0)
      for (let part = backlog.shift(); part !== undefined; part = backlog.shift()) {
        if (part.length > 0) return part
      }
      const part = arrived
      arrived = null
      if (part === null) read(0)
      return part
    }
    // Even if it is empty: whoever gives back does not want more for now.
    socket.unshift = (part) => void backlog.unshift(copyOf(part))
  }
}

/** `slice` of a `Buffer` is no copy. */
const copyOf = (part: Uint8Array): Uint8Array => Uint8Array.prototype.slice.call(part)
