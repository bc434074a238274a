package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// arrange puts a command line into the order that the parser expects: the subcommand first, even if
// its flags stand before it, and --help instead of the word help.
func arrange(app *kong.Application, args []string) []string {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--":
			return args
		case arg == "help" && i == 0:
			return append(slices.Clone(args[1:]), "--help")
		case !strings.HasPrefix(arg, "-"):
			return slices.Concat(args[i:i+1], args[:i], args[i+1:])
		case takesValue(app, arg):
			i++
		}
	}
	return args
}

// takesValue reports whether the argument is a flag whose value is the next argument.
func takesValue(app *kong.Application, arg string) bool {
	return slices.ContainsFunc(app.Children, func(n *kong.Node) bool {
		return slices.ContainsFunc(n.Flags, func(f *kong.Flag) bool { return arg == "--"+f.Name && !f.IsBool() })
	})
}

// build is the version of this program, if it was set when the program was built.
func build() string {
	version := "(unknown version)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return fmt.Sprintf("redlock %s %s/%s %s", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
