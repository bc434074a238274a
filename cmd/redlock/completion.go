package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A completionCmd is `redlock completion`.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help implements kong.HelpProvider.
func (*completionCmd) Help() string {
	return `  source <(redlock completion bash)                                    # in ~/.bashrc
  source <(redlock completion zsh)                                     # in ~/.zshrc, after compinit
  redlock completion fish > ~/.config/fish/completions/redlock.fish`
}

// Run prints the script.
func (c *completionCmd) Run(s streams, app *kong.Application) error {
	var err error
	switch c.Shell {
	case "fish":
		_, err = fmt.Fprint(s.out, fishScript(app))
	case "zsh":
		_, err = fmt.Fprint(s.out, "autoload -U +X bashcompinit && bashcompinit\n", bashScript(app))
	default:
		_, err = fmt.Fprint(s.out, bashScript(app))
	}
	return err //nolint:wrapcheck // a write error needs no context
}

// commands are the subcommands, and their flags.
func commands(app *kong.Application) (nodes []*kong.Node) {
	for _, n := range app.Children {
		if !n.Hidden {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// common returns the flags that may stand before any subcommand that takes nodes.
func common(app *kong.Application) (flags []*kong.Flag) {
	for _, n := range commands(app) {
		for _, f := range n.Flags {
			known := slices.ContainsFunc(flags, func(other *kong.Flag) bool { return other.Name == f.Name })
			if f.Group != nil && f.Group.Key == "Nodes" && !known {
				flags = append(flags, f)
			}
		}
	}
	return flags
}

func bashScript(app *kong.Application) string {
	var names []string
	var cases strings.Builder
	for _, n := range commands(app) {
		names = append(names, n.Name)
		words := []string{"--help"}
		for _, f := range n.Flags {
			words = append(words, "--"+f.Name)
		}
		if n.Name == "completion" {
			words = append(words, "bash", "zsh", "fish")
		}
		fmt.Fprintf(&cases, "    %s) words=%q ;;\n", n.Name, strings.Join(words, " "))
	}
	fmt.Fprintf(&cases, "    help) words=%q ;;\n", strings.Join(names, " "))
	first := append(slices.Clone(names), "help", "--help", "--version")
	for _, f := range common(app) {
		first = append(first, "--"+f.Name)
	}
	return fmt.Sprintf(`_redlock() {
  local word=${COMP_WORDS[COMP_CWORD]} words cmd= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --) COMPREPLY=($(compgen -c -f -- "$word")); return ;; # the command to run
      %s|help) cmd=${cmd:-${COMP_WORDS[i]}} ;;
    esac
  done
  case ${COMP_WORDS[COMP_CWORD-1]} in
    --*-file | --ca-cert | --cert | --key) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  case $cmd in
%s    *) words=%q ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -F _redlock redlock
`, strings.Join(names, "|"), cases.String(), strings.Join(first, " "))
}

func fishScript(app *kong.Application) string {
	var b strings.Builder
	b.WriteString("complete -c redlock -f\n")
	flag := func(when string, f *kong.Flag) {
		argument := ""
		if !f.IsBool() {
			argument = " -r"
		}
		if strings.HasSuffix(f.Name, "file") || f.Name == "ca-cert" || f.Name == "cert" || f.Name == "key" {
			argument = " -r -F"
		}
		fmt.Fprintf(&b, "complete -c redlock -n %s -l %s%s -d %s\n", quote(when), f.Name, argument, quote(f.Help))
	}
	b.WriteString("complete -c redlock -n __fish_use_subcommand -a help -d 'Explain a subcommand.'\n")
	b.WriteString("complete -c redlock -n __fish_use_subcommand -l version -d 'Print the version.'\n")
	for _, f := range common(app) {
		flag("__fish_use_subcommand", f)
	}
	for _, n := range commands(app) {
		fmt.Fprintf(&b, "complete -c redlock -n __fish_use_subcommand -a %s -d %s\n", n.Name, quote(n.Help))
		for _, f := range n.Flags {
			flag("__fish_seen_subcommand_from "+n.Name, f)
		}
	}
	b.WriteString("complete -c redlock -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n")
	b.WriteString("complete -c redlock -n '__fish_seen_subcommand_from run' -a '(__fish_complete_subcommand --fcs-skip=3)'\n")
	return b.String()
}

// quote quotes a text as one word for a shell.
func quote(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
