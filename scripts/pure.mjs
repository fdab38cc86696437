// Marks what a module computes when it is loaded as free of effects, so that a bundler leaves out what nobody uses: of a package that
// says of itself that its modules have none, every constant and every class. Lines stay as they are, so that source maps stay right by
// line.
import ts from "typescript"

const mark = "/*#__PURE__*/ "

/** The module with each call marked by which a constant or the parent of a class is made. */
export const annotate = (file, code) => {
  const source = ts.createSourceFile(file, code, ts.ScriptTarget.Latest, true)
  const places = new Set()
  const visit = (node) => {
    if (ts.isFunctionLike(node)) return
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) places.add(node.getStart(source))
    ts.forEachChild(node, visit)
  }
  for (const statement of source.statements) {
    if (ts.isVariableStatement(statement) || ts.isClassDeclaration(statement)) visit(statement)
  }
  let end = 0
  const parts = Array.from(places).sort((a, b) => a - b).map((place) => code.slice(end, end = place))
  return [...parts, code.slice(end)].join(mark)
}
