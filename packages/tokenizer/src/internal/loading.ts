import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type { Service } from "../Tokenizer.js"
import type { TokenizerError } from "../TokenizerError.js"

/** What loads a tokenizer. */
export type Load = Effect.Effect<Service, TokenizerError, FileSystem.FileSystem | Path.Path>

/** So many tokenizers are kept of one owner; the one that was asked for least lately makes room. */
const mostKept = 32

/** A tokenizer that was loaded, or is being loaded: then that tells how it ended, or nothing where it was interrupted. */
interface Entry {
  value?: Service
  running?: Deferred.Deferred<Exit.Exit<Service, TokenizerError> | undefined>
}

/** Loads once what many ask for, of each owner by its key: what loads it, or the client that asks for it. */
export interface Loading {
  readonly load: (owner: object, key: string, load: Load) => Load
}

const makeLoader = (): Loading => {
  const all = new WeakMap<object, Map<string, Entry>>()

  const entryOf = (owner: object, key: string): Entry => {
    const entries = all.get(owner) ?? new Map<string, Entry>()
    all.set(owner, entries)
    const entry = entries.get(key) ?? {}
    entries.delete(key)
    entries.set(key, entry)
    if (entries.size > mostKept) entries.delete(entries.keys().next().value!)
    return entry
  }

  const shared = (entry: Entry, load: Load): Load =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        if (entry.value !== undefined) return Effect.succeed(entry.value)
        if (entry.running !== undefined) {
          // Whoever loads it may be interrupted; then the next in line does.
          return Effect.flatMap(restore(Deferred.await(entry.running)), (exit) => exit ?? restore(shared(entry, load)))
        }
        const running = Deferred.unsafeMake<Exit.Exit<Service, TokenizerError> | undefined>(FiberId.none)
        entry.running = running
        return Effect.onExit(restore(load), (exit) => {
          delete entry.running
          if (Exit.isSuccess(exit)) entry.value = exit.value
          return Deferred.succeed(running, Exit.isInterrupted(exit) ? undefined : exit)
        })
      })
    )

  return { load: (owner, key, load) => Effect.suspend(() => shared(entryOf(owner, key), load)) }
}

/** One for the whole process, unless another is provided. */
export class Loader
  extends Context.Reference<Loader>()("@effect-tinker/tokenizer/Loader", { defaultValue: makeLoader })
{}
