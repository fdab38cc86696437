import { isObject, isOwn } from "../CallOptions.js"

/** What settings are made of, by a class of a schema. */
interface Settings<Given, A> {
  new(given: Given, options: { readonly disableValidation: true }): A
  readonly fields: object
}

/**
 * Settings as they were given, with the defaults of the others. Nothing is checked, so that nothing throws. What is no object would leave
 * every setting at its default, and one that is inherited would be left out: each becomes a setting that there is not, which no request
 * accepts.
 */
export const settingsOf = <Given, A>(Class: Settings<Given, A>, given: Given): A =>
  new Class(ownOf(given, Class.fields), { disableValidation: true })

const ownOf = <Given>(given: Given, fields: object): Given => {
  if (!isObject(given)) return { options: given } as Given
  const lost: Record<string, unknown> = {}
  for (const name in fields) if (!isOwn(given, name)) lost[`inherited ${name}`] = given[name]
  for (const name in given) if (!isOwn(given, name)) lost[`inherited ${name}`] = given[name]
  return { ...given, ...lost }
}
