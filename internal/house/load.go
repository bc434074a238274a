package house

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A Package is what go list says about a package.
type Package struct {
	ImportPath string
	Dir        string
	Doc        string // the first sentence of its doc comment
	GoFiles    []string
	Imports    []string
	Export     string // where its export data is
}

// List returns the packages that the patterns match and, with deps, those that they import.
func List(dir string, deps bool, patterns ...string) ([]Package, error) {
	args := []string{"list", "-json=ImportPath,Dir,Doc,GoFiles,Imports,Export"}
	if deps {
		args = append(args, "-deps", "-export")
	}
	cmd := exec.Command("go", append(args, patterns...)...) //nolint:noctx // a test's
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []Package
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p Package
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, p)
	}
}

// Uses has the arrows between the declarations of one package: which others each of them uses.
type Uses struct {
	arrows map[string]map[string]bool
	file   map[string]string // where a declaration stands
}

// Load reads the package in dir. A method belongs to the declaration of its type.
func Load(dir string) (*Uses, error) {
	all, err := List(dir, true, ".")
	if err != nil {
		return nil, err
	}
	self := all[len(all)-1] // the packages that it imports come before it
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range self.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(self.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse: %w", err)
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object), Defs: make(map[*ast.Ident]types.Object)}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		i := slices.IndexFunc(all, func(p Package) bool { return p.ImportPath == path })
		if i < 0 {
			return nil, fmt.Errorf("no export data for %s", path)
		}
		return os.Open(all[i].Export)
	})}
	pkg, err := conf.Check(self.ImportPath, fset, files, info)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	return uses(fset, pkg, info, files), nil
}

func uses(fset *token.FileSet, pkg *types.Package, info *types.Info, files []*ast.File) *Uses {
	u := &Uses{arrows: make(map[string]map[string]bool), file: make(map[string]string)}
	for _, name := range pkg.Scope().Names() {
		u.file[name] = filepath.Base(fset.Position(pkg.Scope().Lookup(name).Pos()).Filename)
		u.arrows[name] = make(map[string]bool)
	}
	owners := members(pkg)
	for _, f := range files {
		for _, d := range f.Decls {
			for from, node := range declared(d) {
				ast.Inspect(node, func(n ast.Node) bool {
					if id, ok := n.(*ast.Ident); ok {
						if to := owner(owners, pkg, info.Uses[id]); to != "" && to != from && u.arrows[from] != nil {
							u.arrows[from][to] = true
						}
					}
					return true
				})
			}
		}
	}
	return u
}

// declared returns the parts of a declaration by the name they belong to.
func declared(d ast.Decl) map[string]ast.Node {
	parts := make(map[string]ast.Node)
	switch d := d.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			name = base(d.Recv.List[0].Type)
		}
		parts[name] = d
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				parts[s.Name.Name] = s
			case *ast.ValueSpec:
				for _, n := range s.Names {
					parts[n.Name] = s
				}
			}
		}
	}
	return parts
}

// base returns the name of a receiver's type.
func base(e ast.Expr) string {
	for {
		switch t := e.(type) {
		case *ast.StarExpr:
			e = t.X
		case *ast.IndexExpr:
			e = t.X
		case *ast.IndexListExpr:
			e = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

// members returns for each field and method of the package's types the type that it belongs to.
func members(pkg *types.Package) map[types.Object]string {
	of := make(map[types.Object]string)
	for _, name := range pkg.Scope().Names() {
		named, ok := pkg.Scope().Lookup(name).Type().(*types.Named)
		if !ok || pkg.Scope().Lookup(name) != types.Object(named.Obj()) {
			continue
		}
		for m := range named.Methods() {
			of[m] = name
		}
		switch t := named.Underlying().(type) {
		case *types.Struct:
			for f := range t.Fields() {
				of[f] = name
			}
		case *types.Interface:
			for m := range t.ExplicitMethods() {
				of[m] = name
			}
		}
	}
	return of
}

// owner returns the declaration of the package that an object is or belongs to, or "".
func owner(members map[types.Object]string, pkg *types.Package, o types.Object) string {
	switch v := o.(type) {
	case *types.Var:
		o = v.Origin()
	case *types.Func:
		o = v.Origin()
	}
	switch {
	case o == nil || o.Pkg() != pkg:
		return ""
	case o.Parent() == pkg.Scope():
		return o.Name()
	default:
		return members[o]
	}
}
