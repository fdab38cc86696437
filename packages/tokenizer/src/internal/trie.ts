/** Names by their UTF-16 code units, each with what it stands for. */
export interface Node<A> {
  readonly next: Map<number, Node<A>>
  token: A | undefined
}

/** The names as a trie. Where two are the same, the first counts; an empty name is none. */
export const trie = <A>(entries: Iterable<readonly [name: string, token: A]>): Node<A> => {
  const root: Node<A> = { next: new Map(), token: undefined }
  for (const [name, token] of entries) {
    if (name === "") continue
    let node = root
    for (let i = 0; i < name.length; i++) {
      const code = name.charCodeAt(i)
      let next = node.next.get(code)
      if (next === undefined) node.next.set(code, next = { next: new Map(), token: undefined })
      node = next
    }
    node.token ??= token
  }
  return root
}
