/** What a server's process has used since it started. */
export interface Used {
  /** User and system time of all threads, in milliseconds. */
  readonly cpu: number
  /** In bytes. */
  readonly rss: number
  /** Likewise, after a collection if the process has `--expose-gc`. */
  readonly live: number
}

/** Answers any message of the parent with what was used so far, and ends with it. */
export const tellUsed = (): void => {
  process.on("message", () => {
    globalThis.gc?.()
    const { system, user } = process.cpuUsage()
    const { arrayBuffers, heapUsed, rss } = process.memoryUsage()
    process.send!({ cpu: (user + system) / 1000, rss, live: heapUsed + arrayBuffers } satisfies Used)
  })
  process.on("disconnect", () => process.exit(0))
}
