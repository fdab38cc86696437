/**
 * What a stretch of work costs this process.
 */
export interface Cost {
  /** User and system time of all threads, in milliseconds for each unit of work. */
  readonly cpu: number
  /** Units of work a second. */
  readonly rate: number
}

/** Starts measuring; the function returned ends it after `units` of work. */
export const meter = (): (units: number) => Cost => {
  const cpu = process.cpuUsage()
  const start = performance.now()
  return (units) => {
    const { system, user } = process.cpuUsage(cpu)
    return { cpu: (user + system) / 1000 / units, rate: (1000 * units) / (performance.now() - start) }
  }
}
