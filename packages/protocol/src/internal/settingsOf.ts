import { isObject, isOwn } from "../CallOptions.js"

/**
 * Settings as they were given. What is no object would leave every setting at its default, and one that is inherited would be left
 * out: each becomes a setting that there is not, which no request accepts.
 */
export const settingsOf = <A extends object>(given: A, fields: object): A => {
  if (!isObject(given)) return { options: given } as A
  const lost: Record<string, unknown> = {}
  for (const name in fields) if (!isOwn(given, name)) lost[`inherited ${name}`] = given[name]
  for (const name in given) if (!isOwn(given, name)) lost[`inherited ${name}`] = given[name]
  return { ...given, ...lost }
}
