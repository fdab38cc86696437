import { assert, it } from "@effect/vitest"
import * as Report from "../src/Report.js"

const page = Report.html({
  title: "Fine-tuning <tiny>",
  facts: [["Steps", "3"]],
  losses: [3, NaN, 1.5],
  before: [{ question: "1 < 2 & \"so\"?", text: "no" }],
  after: [{ question: "1 < 2 & \"so\"?", text: "<b>yes</b>" }]
})

it("shows the answers before and after, as text", () => {
  assert.include(page, "<td>1 &lt; 2 &amp; &quot;so&quot;?</td><td>no</td><td>&lt;b&gt;yes&lt;/b&gt;</td>")
  assert.include(page, "<title>Fine-tuning &lt;tiny&gt;</title>")
})

it("draws the loss of each step, the highest at the top and the last at the right", () => {
  const points = /polyline points="([^"]*)"/.exec(page)?.[1]?.split(" ")
  assert.deepStrictEqual(points, ["44.0,8.0", "712.0,122.0"])
})

it("needs nothing from elsewhere", () => {
  assert.notMatch(page, /(src|href)=|https?:|@import|<script/)
})

it("says so when no step was made", () => {
  assert.include(Report.html({ title: "", facts: [], losses: [], before: [], after: [] }), "There is no step")
})
