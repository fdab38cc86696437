/** A path with its query. Values that are undefined are left out. */
export const withQuery = (
  path: string,
  query: Readonly<Record<string, string | number | undefined>>
): string => {
  const given = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.append(name, String(value))
  return given.size === 0 ? path : `${path}?${given.toString()}`
}
