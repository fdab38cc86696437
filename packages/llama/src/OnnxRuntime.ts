/** ONNX Runtime, loaded when it is first needed: the package that holds its binaries is an optional peer. */
import { EngineError } from "@effect-tinker/engine/Engine"
import type * as Onnx from "onnxruntime-node"

/**
 * A compiled graph.
 *
 * @since 0.1.0
 * @category models
 */
export interface Session {
  /** Blocks the thread until every output is there, although it returns a promise. */
  readonly run: (
    feeds: Readonly<Record<string, Onnx.Tensor>>,
    fetches?: Readonly<Record<string, Onnx.Tensor | null>>
  ) => Promise<Readonly<Record<string, Onnx.Tensor>>>
  readonly release: () => Promise<void>
}

/**
 * The runtime: it compiles graphs, and makes the tensors that they are fed with, over the arrays that are given.
 *
 * @since 0.1.0
 * @category models
 */
export interface OnnxRuntime {
  /** Compiles a model, of which `apart` are the constants that are not part of it. */
  readonly session: (model: Uint8Array, apart?: ReadonlyMap<string, Uint8Array>) => Promise<Session>
  readonly float32: (data: Float32Array, shape: ReadonlyArray<number>) => Onnx.Tensor
  readonly float64: (data: Float64Array, shape: ReadonlyArray<number>) => Onnx.Tensor
  readonly int32: (data: Int32Array, shape: ReadonlyArray<number>) => Onnx.Tensor
  readonly int64: (data: ArrayLike<number>, shape: ReadonlyArray<number>) => Onnx.Tensor
}

/**
 * Loads the native runtime. Rejects with the `EngineError` `Unavailable` where there is none.
 *
 * @since 0.1.0
 * @category constructors
 */
export const load = async (options: { readonly threads?: number | undefined } = {}): Promise<OnnxRuntime> => {
  const onnx = await import("onnxruntime-node").catch((cause: unknown) => {
    throw new EngineError({
      reason: "Unavailable",
      description:
        "onnxruntime-node cannot be loaded: install it (npm install --ignore-scripts onnxruntime-node@1.30.0), if there " +
        "is a binary for this platform",
      cause
    })
  })
  const sessionOptions = {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    intraOpNumThreads: options.threads ?? 0,
    interOpNumThreads: 1,
    // Errors come back as rejections; the rest is of no use to a reader.
    logSeverityLevel: 4,
    enableCpuMemArena: false,
    enableMemPattern: false,
    // Idle threads would otherwise spin and take the core that the server needs.
    extra: { session: { intra_op: { allow_spinning: "0" } } }
  } as const
  return {
    session: async (model, apart = new Map()) => {
      const session = await onnx.InferenceSession.create(model, {
        ...sessionOptions,
        externalData: Array.from(apart, ([path, data]) => ({ path, data }))
      })
      return {
        run: (feeds, fetches) => fetches === undefined ? session.run(feeds) : session.run(feeds, fetches),
        release: () => session.release()
      }
    },
    float32: (data, shape) => new onnx.Tensor("float32", data, shape),
    float64: (data, shape) => new onnx.Tensor("float64", data, shape),
    int32: (data, shape) => new onnx.Tensor("int32", data, shape),
    int64: (data, shape) => {
      const wide = new BigInt64Array(data.length)
      for (let i = 0; i < data.length; i++) wide[i] = BigInt(data[i]!)
      return new onnx.Tensor("int64", wide, shape)
    }
  }
}
