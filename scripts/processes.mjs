// Programs run by checks: to their end, or until they have written what is looked for.
import { execFile, spawn } from "node:child_process"
import { createServer } from "node:net"
import { promisify } from "node:util"

/** Gives what was written to standard output; fails with all that was written. */
export const run = (command, args, options = {}) =>
  promisify(execFile)(command, args, { maxBuffer: 1e8, timeout: 300_000, ...options }).then(
    ({ stdout }) => stdout,
    (error) => {
      throw new Error(`${[command, ...args].join(" ")}\n  in ${options.cwd ?? "."}\n${error.stdout}${error.stderr}`)
    }
  )

/** A line as it is typed. */
export const shell = (line, options) => run("bash", ["-c", line], options)

/**
 * Waits until the program is ready, then for `use`, which is given what was written, and ends the program with all that it started. It is ready when its output matches
 * a pattern, or when it answers at an address.
 */
export const whileRunning = async (line, ready, { cwd, env }, use = () => {}) => {
  const child = spawn("bash", ["-c", line], { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] })
  const ended = new Promise((resolve) => child.on("exit", resolve))
  let output = ""
  try {
    await new Promise((resolve, reject) => {
      const look = (data) => {
        output += data
        if (ready instanceof RegExp && ready.test(output)) resolve()
      }
      const giveUp = (how) => () => reject(new Error(`${line}\n  in ${cwd}\n${how} ${ready}:\n${output}`))
      child.stdout.on("data", look)
      child.stderr.on("data", look)
      ended.then(giveUp("ended, without"))
      setTimeout(giveUp("goes on, without"), 120_000).unref()
      const ask = () => child.exitCode === null && fetch(ready).then(resolve, () => setTimeout(ask, 200))
      if (!(ready instanceof RegExp)) ask()
    })
    await use(output)
  } finally {
    try {
      process.kill(-child.pid, "SIGKILL")
    } catch {
      // It has ended by itself.
    }
    await ended
  }
}

export const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
