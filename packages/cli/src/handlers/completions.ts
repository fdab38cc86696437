import * as Effect from "effect/Effect"
import * as CommandTree from "../CommandTree.js"
import * as GlobalOptions from "../GlobalOptions.js"
import * as Output from "../Output.js"

export const completions: CommandTree.Handler<{ readonly shell: string }> = ({ shell }) =>
  Effect.flatMap(
    Effect.all([CommandTree.Root, Output.Output]),
    ([root, output]) => output.raw([shell === "fish" ? fish(root) : shell === "zsh" ? zsh(root) : bash(root)])
  )

interface Place {
  /** The words before, without the program's name. */
  readonly path: ReadonlyArray<string>
  readonly command: CommandTree.Leaf | CommandTree.Group
}

const placesOf = (command: CommandTree.Leaf | CommandTree.Group, path: ReadonlyArray<string>): ReadonlyArray<Place> => [
  { path, command },
  ...(command._tag === "Leaf" ? [] : command.commands.flatMap((one) => placesOf(one, [...path, one.name])))
]

const optionsOf = ({ known: { switches, values } }: CommandTree.Leaf): ReadonlyArray<string> =>
  [...values, ...switches, ...GlobalOptions.names, "help"].map((name) => `--${name}`)

const wordsOf = ({ command }: Place): ReadonlyArray<string> =>
  command._tag === "Leaf" ? optionsOf(command) : command.commands.map(({ name }) => name)

/** Lists the words that may come, by those before that are no options. */
const cases = (root: CommandTree.Group, indent: string): string =>
  placesOf(root, []).map((place) => `${indent}"${place.path.join(" ")}") words="${wordsOf(place).join(" ")}" ;;`).join(
    "\n"
  )

const bash = (root: CommandTree.Group): string =>
  `_tinker() {
  local path="" word words="" current="\${COMP_WORDS[COMP_CWORD]}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) break ;; esac
    case "\${path:+$path }$word" in
${knownPaths(root, "      ")}
      *) break ;;
    esac
  done
  case "$path" in
${cases(root, "    ")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [ \${#COMPREPLY[@]} -eq 0 ]; then COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -F _tinker tinker
`

const knownPaths = (root: CommandTree.Group, indent: string): string =>
  placesOf(root, []).filter(({ path }) => path.length > 0).map(({ path }) =>
    `${indent}"${path.join(" ")}") path="${path.join(" ")}" ;;`
  ).join("\n")

/** Its compatibility layer runs the script of bash as it is. */
const zsh = (root: CommandTree.Group): string =>
  `#compdef tinker\nautoload -U +X bashcompinit && bashcompinit\n${bash(root)}`

const fish = (root: CommandTree.Group): string =>
  placesOf(root, []).flatMap(({ command, path }) => {
    const condition = `__fish_tinker_at ${path.join(" ")}`.trim()
    return command._tag === "Leaf"
      ? optionsOf(command).map((option) => `complete -c tinker -n "${condition}" -l ${option.slice(2)}`)
      : command.commands.map((one) =>
        `complete -c tinker -f -n "${condition}" -a ${one.name} -d ${JSON.stringify(one.summary.replaceAll("$", ""))}`
      )
  }).reduce(
    (text, line) => `${text}${line}\n`,
    `function __fish_tinker_at
  set -l words (string match -v -- '-*' (commandline -opc)[2..])
  test "$words" = "$argv"
end
`
  )
