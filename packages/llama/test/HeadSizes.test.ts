import { assert, it } from "@effect/vitest"
import { configOf } from "../scripts/makeRandomLlama.js"
import { Graph } from "../src/Graph.js"
import * as Llama from "../src/Llama.js"
import * as OnnxRuntime from "../src/OnnxRuntime.js"
import * as Operators from "../src/Operators.js"
import { hashed } from "./internal/numbers.js"

it("turns heads of every even size as the formula says", async () => {
  const onnx = await OnnxRuntime.load({ threads: 1 })
  const [length, heads] = [5, 3]
  for (const headDim of [2, 4, 6, 12, 20, 72, 264]) {
    const half = headDim / 2
    const width = heads * headDim
    const graph = new Graph("float32")
    const output = Operators.rope(graph, graph.input("x", ["T", width]), {
      cos: graph.input("cos", ["P", half]),
      sin: graph.input("sin", ["P", half]),
      positions: graph.input("positions", [1], "int64"),
      batch: graph.input("batch", [2], "int64")
    })
    graph.output("y", output)
    const { cos, sin } = Llama.rotaryTables({ ...configOf(), headDim }, length)
    const x = Float32Array.from({ length: length * width }, (_, i) => hashed(0, i))
    const session = await onnx.session(graph.encode())
    const results = await session.run({
      x: onnx.float32(x, [length, width]),
      cos: onnx.float32(cos, [length, half]),
      sin: onnx.float32(sin, [length, half]),
      positions: onnx.int64([0], [1]),
      batch: onnx.int64([1, length], [2])
    })
    await session.release()
    const y = results["y"]!.data as Float32Array
    for (let i = 0; i < y.length; i++) {
      const j = i % headDim
      const angle = Math.floor(i / width) * half + j % half
      const other = j < half ? -x[i + half]! : x[i - half]!
      assert.closeTo(y[i]!, x[i]! * cos[angle]! + other * sin[angle]!, 1e-6, `${headDim}: ${i}`)
    }
  }
})
