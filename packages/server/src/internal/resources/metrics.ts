/** Figures about a server in the text format of Prometheus, version 0.0.4. */
import type * as TinkerProtocol from "../../TinkerProtocol.js"

export interface Metrics {
  readonly observe: (answered: TinkerProtocol.Answered) => void
  /** The text of all metrics; `now` are those whose values are what they are at the moment. */
  readonly render: (now: ReadonlyArray<Family>) => string
}

/** Values under one name. */
export interface Family {
  readonly name: string
  readonly help: string
  readonly type: "gauge" | "counter"
  readonly samples: ReadonlyArray<readonly [labels: Readonly<Record<string, string>>, value: number]>
}

/** The bounds of the histograms, in seconds. The long ones are of questions that are held. */
const bounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60]

interface Histogram {
  readonly counts: Array<number>
  sum: number
  count: number
}

export const make = (): Metrics => {
  const requests = new Map<string, { readonly labels: Readonly<Record<string, string>>; count: number }>()
  const durations = new Map<string, Histogram>()
  return {
    observe: ({ method, millis, route, status }) => {
      const key = `${method} ${route} ${status}`
      const counted = requests.get(key)
      if (counted === undefined) requests.set(key, { labels: { method, route, status: String(status) }, count: 1 })
      else counted.count += 1
      let histogram = durations.get(route)
      if (histogram === undefined) {
        durations.set(route, histogram = { counts: bounds.map(() => 0), sum: 0, count: 0 })
      }
      const seconds = millis / 1000
      const place = bounds.findIndex((bound) => seconds <= bound)
      if (place >= 0) histogram.counts[place]! += 1
      histogram.sum += seconds
      histogram.count += 1
    },
    render: (now) => {
      const lines = now.concat({
        name: "tinker_http_requests_total",
        help: "Answered requests; status 499: the client left before",
        type: "counter",
        samples: Array.from(requests.values(), ({ count, labels }) => [labels, count] as const)
      }).flatMap(({ help, name, samples, type }) => [
        `# HELP ${name} ${help}`,
        `# TYPE ${name} ${type}`,
        ...samples.map(([labels, value]) => sample(name, labels, value))
      ])
      const name = "tinker_http_request_duration_seconds"
      lines.push(`# HELP ${name} Time until the answer, holding included`, `# TYPE ${name} histogram`)
      for (const [route, { count, counts, sum }] of durations) {
        let below = 0
        counts.forEach((inBucket, i) => {
          below += inBucket
          lines.push(sample(`${name}_bucket`, { route, le: String(bounds[i]) }, below))
        })
        lines.push(
          sample(`${name}_bucket`, { route, le: "+Inf" }, count),
          sample(`${name}_sum`, { route }, sum),
          sample(`${name}_count`, { route }, count)
        )
      }
      return `${lines.join("\n")}\n`
    }
  }
}

const sample = (name: string, labels: Readonly<Record<string, string>>, value: number): string => {
  const entries = Object.entries(labels)
  return entries.length === 0
    ? `${name} ${value}`
    : `${name}{${entries.map(([label, text]) => `${label}="${escape(text)}"`).join(",")}} ${value}`
}

const escape = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\"", "\\\"").replaceAll("\n", "\\n")
