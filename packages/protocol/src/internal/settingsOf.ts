import { isObject } from "../CallOptions.js"

/**
 * Settings as they were given. What is no object would leave every setting at its default, so it becomes a setting that there is
 * not, which no request accepts.
 */
export const settingsOf = <A extends object>(given: A): A => isObject(given) ? given : { options: given } as A
