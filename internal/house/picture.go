package house

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Imports returns the arrows between the packages of a module, without the module's path, and the
// first sentence of each package's doc comment.
func Imports(module string, all []Package) (arrows map[string]map[string]bool, docs map[string]string) {
	arrows, docs = make(map[string]map[string]bool), make(map[string]string)
	name := func(path string) string {
		if path == module {
			return module[strings.LastIndex(module, "/")+1:]
		}
		return strings.TrimPrefix(path, module+"/")
	}
	for _, p := range all {
		from := name(p.ImportPath)
		arrows[from], docs[from] = make(map[string]bool), p.Doc
		for _, to := range p.Imports {
			if to == module || strings.HasPrefix(to, module+"/") {
				arrows[from][name(to)] = true
			}
		}
	}
	return arrows, docs
}

// Below returns the arrows among the names that one name reaches, itself included.
func Below(arrows map[string]map[string]bool, top string) map[string]map[string]bool {
	below := make(map[string]map[string]bool)
	var visit func(string)
	visit = func(name string) {
		if below[name] == nil {
			below[name] = arrows[name]
			for to := range arrows[name] {
				visit(to)
			}
		}
	}
	visit(top)
	return below
}

// Levels orders names from the top to the bottom so that each name uses only names on levels below
// its own. The names of a knot are on one level, as one.
func Levels(arrows map[string]map[string]bool) (levels [][][]string) {
	knot := make(map[string][]string)
	for name := range arrows {
		knot[name] = []string{name}
	}
	for _, k := range Knots(arrows) {
		for _, name := range k {
			knot[name] = k
		}
	}
	depths := make(map[string]int) // by the first name of a knot
	var depth func(k []string) int
	depth = func(k []string) int {
		if d, ok := depths[k[0]]; ok {
			return d
		}
		d := 0
		for _, name := range k {
			for to := range arrows[name] {
				if !slices.Contains(k, to) {
					d = max(d, 1+depth(knot[to]))
				}
			}
		}
		depths[k[0]] = d
		return d
	}
	for _, name := range slices.Sorted(maps.Keys(arrows)) {
		if k := knot[name]; k[0] == name {
			for len(levels) <= depth(k) {
				levels = append(levels, nil)
			}
			levels[depth(k)] = append(levels[depth(k)], k)
		}
	}
	slices.Reverse(levels)
	return levels
}

// Draw writes levels as lines, a knot in brackets, and wraps them at 96 columns.
func Draw(levels [][][]string) string {
	var b strings.Builder
	for i, level := range levels {
		line := fmt.Sprintf("%3d ", len(levels)-i)
		for _, k := range level {
			word := strings.Join(k, " ")
			if len(k) > 1 {
				word = "[" + word + "]"
			}
			for w := range strings.SplitSeq(word, " ") {
				if len(line)+1+len(w) > 96 {
					b.WriteString(line + "\n")
					line = "    "
				}
				line += " " + w
			}
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
