import type * as Tracer from "effect/Tracer"

/** The ids of a span as W3C Trace Context writes them, unless it has none of that form. */
export const traceparent = (span: Tracer.AnySpan | undefined): string | undefined =>
  span !== undefined && /^[0-9a-f]{32}$/.test(span.traceId) && /^[0-9a-f]{16}$/.test(span.spanId)
    ? `00-${span.traceId}-${span.spanId}-${span.sampled ? "01" : "00"}`
    : undefined
