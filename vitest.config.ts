import { defineConfig } from "vitest/config"
import projects from "./vitest.workspace.js"

export default defineConfig({
  test: {
    projects,
    // By default one core of two is left for the program that reports.
    maxWorkers: 2,
    minWorkers: 1,
    // Reading Effect and the packages takes longer than most files' tests, so the files of a worker share them.
    poolOptions: { forks: { isolate: false } }
  }
})
