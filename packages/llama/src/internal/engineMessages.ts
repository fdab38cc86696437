/** What the parent and its child say to each other. */
import type { EngineError } from "@effect-tinker/engine/Engine"
import type { LocalEngine } from "../LocalEngine.js"

export interface StartOptions {
  readonly folder: string
  /** The name of the base model. Default: the one that the folder gives. */
  readonly name?: string | undefined
  readonly threads: number
  /** The niceness of the process, from 0, which is that of others, to 19. */
  readonly niceness: number
  readonly maxActivationBytes: number
  /** What the caches of samples that grow together may take, in bytes. Default: as much as activations may. */
  readonly maxCacheBytes?: number | undefined
  readonly maxConstantBytes?: number | undefined
}

/** Names of what can be asked, with arguments and results. */
export interface Methods extends LocalEngine {
  readonly start: (options: StartOptions) => Promise<void>
}

export type Request = {
  [Method in keyof Methods]: {
    readonly id: number
    readonly method: Method
    readonly args: Parameters<Methods[Method]>
  }
}[keyof Methods]

/** The message that whoever asked no longer waits. */
export interface Cancel {
  readonly cancel: number
}

export interface Reply {
  readonly id: number
  readonly value?: unknown
  readonly failure?: { readonly reason: EngineError["reason"]; readonly description: string }
}
