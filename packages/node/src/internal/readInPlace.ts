import { buildConnector } from "undici"

/** In bytes: what one read of a socket may bring. */
const memoryBytes = 256 * 1024

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
  /** Has arrived, and is not taken. */
  let arrived: Uint8Array | null = null
  /** Was taken, and given back. */
  let returned: Uint8Array | null = null

  const onArrival = function(this: unknown, size: number, memory: Uint8Array): boolean {
    arrived = memory.subarray(0, size)
    ;(this as Reader).emit("readable")
    // Otherwise the socket is not read until it is asked again.
    return arrived === null && returned === null
  }

  const connect = buildConnector({
    ...options,
    onread: { buffer: Buffer.allocUnsafeSlow(memoryBytes), callback: onArrival }
  } as buildConnector.BuildOptions)

  return (target, done) => {
    arrived = null
    returned = null
    connect(target, (...result) => {
      const [, socket] = result
      if (socket !== null) adapt(socket as unknown as Reader)
      done(...result)
    })
  }

  function adapt(socket: Reader): void {
    const read = socket.read.bind(socket)
    socket.read = (size) => {
      // Starts reading, or notices the end.
      if (size === 0) return read(0)
      if (returned !== null) {
        const part = returned
        returned = null
        if (part.length > 0) return part
      }
      const part = arrived
      arrived = null
      if (part === null) read(0)
      return part
    }
    socket.unshift = (part) => {
      returned = Uint8Array.prototype.slice.call(part)
    }
  }
}
