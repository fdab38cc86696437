import * as Predicate from "effect/Predicate"
import type { Socket } from "node:net"
import { TLSSocket } from "node:tls"
import { Agent, buildConnector, Client, type Dispatcher } from "undici"
import type { ProxyFor } from "../Proxy.js"
import { connectThroughProxy } from "./connectThroughProxy.js"
import { connectInPlace } from "./readInPlace.js"

/** Timeouts of requests are the caller's, on Effect's clock. */
const undiciOptions = { headersTimeout: 0, bodyTimeout: 0 } as const

/** Whether this is undici. Bun has a module of its own under that name, which sends nothing. */
export const isUndici = (): boolean => Predicate.isFunction(Agent.prototype.dispatch)

/** How connections are made. */
export interface Connecting {
  readonly proxyFor: ProxyFor | undefined
  /** The time that a connection may take to be made, in milliseconds. */
  readonly timeout: number
}

/** One request, told of by undici. */
export interface Handler extends Dispatcher.DispatchHandler {
  /** Called when the request is over: its connection is free, or was refused and should not be used again. */
  onEnd: ((refused: boolean) => void) | undefined
  /** Ends the request together with its connection, where that is one of its own. */
  cut: (() => void) | undefined
}

export interface Connections {
  readonly dispatch: (origin: string, options: Dispatcher.DispatchOptions, handler: Handler) => void
  readonly destroy: () => Promise<unknown>
}

/** A number of connections that requests share, and wait for. */
export class ConnectionPool implements Connections {
  private readonly connections: number
  private readonly connecting: Connecting
  private readonly all = new Set<Agent>()
  private current: Agent

  constructor(connections: number, connecting: Connecting) {
    this.connections = connections
    this.connecting = connecting
    this.current = this.open()
  }

  dispatch(_: string, options: Dispatcher.DispatchOptions, handler: Handler): void {
    const agent = this.current
    handler.onEnd = (refused) => {
      if (refused && agent === this.current) this.replace(agent)
    }
    agent.dispatch(options, handler)
  }

  destroy(): Promise<unknown> {
    return Promise.all(Array.from(this.all, (agent) => agent.destroy()))
  }

  private open(): Agent {
    const { proxyFor, timeout } = this.connecting
    const connect = buildConnector({ timeout })
    const agent = new Agent({
      ...undiciOptions,
      connect: proxyFor === undefined ? { timeout } : connectThroughProxy(proxyFor, connect, connect),
      connections: this.connections
    })
    this.all.add(agent)
    return agent
  }

  /** What is on its way over the old connections stays there; they close after it. */
  private replace(agent: Agent): void {
    this.current = this.open()
    void agent.close().then(() => this.all.delete(agent))
  }
}

/** Connections of which each serves one request at a time; the one used last is used next, so that the others may close. */
export class ConnectionList implements Connections {
  private readonly free = new Map<string, Array<Connection>>()
  private readonly all = new Set<Connection>()
  private readonly inPlace: boolean
  private readonly connecting: Connecting
  private readonly connect: buildConnector.connector

  /** Where connections read `inPlace`, every part of a body is overwritten by the next. */
  constructor(options: { readonly inPlace: boolean }, connecting: Connecting) {
    this.inPlace = options.inPlace
    this.connecting = connecting
    this.connect = buildConnector({ timeout: connecting.timeout })
  }

  dispatch(origin: string, options: Dispatcher.DispatchOptions, handler: Handler): void {
    const free = this.free.get(origin) ?? []
    this.free.set(origin, free)
    const connection = free.pop() ?? this.open(origin)
    handler.onEnd = (refused) => {
      if (refused) this.close(connection)
      else free.push(connection)
    }
    // undici connects again after a request that was aborted, for nobody.
    handler.cut = () => {
      handler.onEnd = undefined
      connection.cut()
      this.all.delete(connection)
    }
    connection.client.dispatch(options, handler)
  }

  destroy(): Promise<unknown> {
    return Promise.all(Array.from(this.all, ({ client }) => client.destroy()))
  }

  private open(origin: string): Connection {
    const { proxyFor, timeout } = this.connecting
    // One that reads in place has memory of its own.
    const connect = this.inPlace ? connectInPlace({ timeout }) : this.connect
    const connection = new Connection(origin, connectThroughProxy(proxyFor, connect, this.connect))
    this.all.add(connection)
    return connection
  }

  private close(connection: Connection): void {
    void connection.client.close().then(() => this.all.delete(connection))
  }
}

class Connection {
  readonly client: Client
  private socket: Socket | undefined

  constructor(origin: string, connect: buildConnector.connector) {
    this.client = new Client(origin, {
      ...undiciOptions,
      connect: (options, done) =>
        connect(options, (...[error, socket]) => {
          if (error !== null) return done(error, null)
          this.socket = socket
          done(null, socket)
        })
    })
  }

  /** The server hears of it at once; undici, whose part takes longer, when all that are cut together have been. */
  cut(): void {
    // A reset is heard of sooner than an orderly end. Connections with TLS have none.
    if (this.socket instanceof TLSSocket) this.socket.destroy()
    else this.socket?.resetAndDestroy()
    setImmediate(() => void this.client.destroy())
  }
}
