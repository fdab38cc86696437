/**
 * The trap of a slow grader: 20 ms of work for each answer, on the thread that also sends the heartbeats by which the server
 * knows that the session lives. How late they get by the Python SDK, which has a thread for them; by ours with the grading on
 * the same thread; and by ours with the grading in workers, as it should be.
 *
 * `npm run bench:slow-grader -- --seconds 25 --in-flight 100`
 */
import { parseArgs } from "node:util"
import { runOurs, runPython, startServer } from "./rounds.js"

const options = parseArgs({
  options: {
    "in-flight": { type: "string", default: "500" },
    seconds: { type: "string", default: "45" },
    /** Milliseconds for which the server holds a result back. */
    delay: { type: "string", default: "1000" }
  }
}).values

/** Milliseconds between heartbeats. */
const interval = 10_000

const measure = async (what: string, run: (url: string) => Promise<{ readonly rate: number }>) => {
  const server = await startServer("--delay", options.delay)
  const { rate } = await run(server.url)
  const { heartbeats, sessionSince } = await server.stats()
  server.stop()
  const times = [sessionSince!, ...heartbeats]
  const late = Math.max(...heartbeats.map((time, i) => time - times[i]!)) - interval
  console.log(
    [
      what.padEnd(28),
      `${heartbeats.length} heartbeats`.padStart(14),
      `the longest wait ${(Math.max(0, late) / 1000).toFixed(2)} s beyond the interval`,
      `${rate.toFixed(1)} answers graded a second`
    ].join("   ")
  )
}

const { "in-flight": inFlight, seconds } = options
await measure("Python", (url) => runPython("slow_grader.py", [url, inFlight, seconds]))
await measure("ours, graded on its thread", (url) => runOurs("slowGraderClient.ts", [url, "here", inFlight, seconds]))
await measure("ours, graded in workers", (url) => runOurs("slowGraderClient.ts", [url, "workers", inFlight, seconds]))
