/**
 * Metrics with fixed labels, to be updated where no effect runs. The labels are looked up once, when a metric is made: at every update that
 * would cost more than the update.
 */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import * as MetricLabel from "effect/MetricLabel"

/** The labels of a metric, each by its name. */
export type Labels = ReadonlyArray<readonly [name: string, value: string]>

export interface Counter {
  readonly add: (count: number) => void
  readonly total: () => number
}

export interface Gauge {
  /** The gauge as programs and exporters know it. */
  readonly metric: Metric.Metric.Gauge<number>
  readonly change: (by: number) => void
  readonly value: () => number
}

export interface Histogram {
  readonly record: (value: number) => void
}

/** A counter that only grows. */
export const counter = (name: string, labels: Labels): Counter => {
  const metric = Metric.fromMetricKey(labelled(MetricKey.counter(name, { incremental: true }), labels))
  return {
    add: (count) => metric.unsafeUpdate(count, noLabels),
    total: () => metric.unsafeValue(noLabels).count
  }
}

export const gauge = (name: string, labels: Labels): Gauge => {
  const metric = Metric.fromMetricKey(labelled(MetricKey.gauge(name), labels))
  return {
    metric,
    change: (by) => metric.unsafeModify(by, noLabels),
    value: () => metric.unsafeValue(noLabels).value
  }
}

/** A histogram that counts values up to each of the boundaries. */
export const histogram = (name: string, boundaries: ReadonlyArray<number>, labels: Labels): Histogram => {
  const key = MetricKey.histogram(name, MetricBoundaries.fromIterable(boundaries))
  const metric = Metric.fromMetricKey(labelled(key, labels))
  return { record: (value) => metric.unsafeUpdate(value, noLabels) }
}

const labelled = <Type extends Parameters<typeof MetricKey.taggedWithLabels>[0]["keyType"]>(
  key: MetricKey.MetricKey<Type>,
  labels: Labels
): MetricKey.MetricKey<Type> =>
  MetricKey.taggedWithLabels(key, labels.map(([name, value]) => MetricLabel.make(name, value)))

/** One array for all updates: the registry looks for labels by identity. */
const noLabels: ReadonlyArray<MetricLabel.MetricLabel> = []
