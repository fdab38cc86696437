/**
 * The report of a run: one HTML page that needs nothing else, with the loss curve and the answers before and after.
 */
import type { Answer } from "./Display.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Report {
  readonly title: string
  /** Name and value of whatever a reader should know of the run. */
  readonly facts: ReadonlyArray<readonly [name: string, value: string]>
  /** Loss of each step, in nats per token. */
  readonly losses: ReadonlyArray<number>
  readonly before: ReadonlyArray<Answer>
  readonly after: ReadonlyArray<Answer>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const html = (report: Report): string =>
  `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(report.title)}</title>
<style>
  :root { color-scheme: light dark; --line: #2563eb; --grid: #8884 }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
  table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
  th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid var(--grid) }
  svg { width: 100%; height: auto } svg text { font-size: 12px; fill: currentColor }
</style>
<h1>${escape(report.title)}</h1>
<table>
${
    report.facts.map(([name, value]) => `<tr><th scope="row">${escape(name)}</th><td>${escape(value)}</td></tr>`).join(
      "\n"
    )
  }
</table>
<h2>Loss of each step, nats per token</h2>
${curve(report.losses)}
<h2>Answers</h2>
<table>
<tr><th>Prompt</th><th>Before</th><th>After</th></tr>
${
    report.before.map(({ question, text }, i) =>
      `<tr>${[question, text, report.after[i]?.text ?? ""].map((cell) => `<td>${escape(cell)}</td>`).join("")}</tr>`
    ).join("\n")
  }
</table>
</html>
`

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "\"": "&quot;",
  "'": "&#39;"
}

const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character]!)

const width = 720
const height = 260
const margin = { left: 44, right: 8, top: 8, bottom: 24 }

const curve = (losses: ReadonlyArray<number>): string => {
  const finite = losses.filter(Number.isFinite)
  if (finite.length === 0) return "<p>There is no step with a loss.</p>"
  const top = Math.max(...finite)
  const x = (i: number) => margin.left + i / Math.max(1, losses.length - 1) * (width - margin.left - margin.right)
  const y = (loss: number) => margin.top + (1 - loss / (top || 1)) * (height - margin.top - margin.bottom)
  const points = losses.flatMap((loss, i) => Number.isFinite(loss) ? [`${x(i).toFixed(1)},${y(loss).toFixed(1)}`] : [])
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => share * top)
  const grid = ticks.map((tick) =>
    `<line x1="${margin.left}" x2="${width - margin.right}" y1="${y(tick)}" y2="${y(tick)}" stroke="var(--grid)"/>`
    + `<text x="${margin.left - 6}" y="${y(tick) + 4}" text-anchor="end">${tick.toFixed(2)}</text>`
  )
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Loss of each step">
${grid.join("\n")}
<polyline points="${points.join(" ")}" fill="none" stroke="var(--line)" stroke-width="2"/>
<text x="${margin.left}" y="${height - 4}">1</text>
<text x="${width - margin.right}" y="${height - 4}" text-anchor="end">${losses.length} steps</text>
</svg>`
}
