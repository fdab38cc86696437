import { performance } from "node:perf_hooks"

/** What a server's process has used since it started. */
export interface Used {
  /** How long its event loop was busy, in milliseconds, whatever the machine did meanwhile. */
  readonly busy: number
  /** User and system time of all threads, in milliseconds. */
  readonly cpu: number
  /** Memory in bytes. */
  readonly rss: number
  /** Bytes of what is still in use, after a collection if the process has `--expose-gc`. */
  readonly live: number
}

/** Answers any message of the parent with what was used so far, and ends with it. */
export const tellUsed = (): void => {
  process.on("message", () => {
    globalThis.gc?.()
    const { system, user } = process.cpuUsage()
    const { arrayBuffers, heapUsed, rss } = process.memoryUsage()
    const busy = performance.eventLoopUtilization().active
    process.send!({ busy, cpu: (user + system) / 1000, rss, live: heapUsed + arrayBuffers } satisfies Used)
  })
  process.on("disconnect", () => process.exit(0))
}
