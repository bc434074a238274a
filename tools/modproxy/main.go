// Modproxy writes the project's modules as a module proxy serves them, from the tags of a clone:
//
//	modproxy CLONE VERSION DIRECTORY
//
// With GOPROXY=file://DIRECTORY a go command then sees what users will see once the tags are
// public. The protocol is that of https://go.dev/ref/mod#goproxy-protocol.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const root = "github.com/go-redlock/redlock"

// modules are the directories of the modules that users import; the root's is empty.
var modules = []string{"", "redlockotel", "redlockprom"}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: modproxy CLONE VERSION DIRECTORY")
		os.Exit(64)
	}
	for _, dir := range modules {
		if err := write(os.Args[1], dir, os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintf(os.Stderr, "modproxy: module %q: %v\n", dir, err)
			os.Exit(1)
		}
	}
}

// write writes one module: its list of versions, and the version's info, go.mod and files.
func write(clone, dir, version, out string) error {
	tag := version
	if dir != "" {
		tag = dir + "/" + version
	}
	m := module.Version{Path: strings.TrimSuffix(root+"/"+dir, "/"), Version: version}
	versions := filepath.Join(out, filepath.FromSlash(m.Path), "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		return err
	}
	at, err := git(clone, "log", "-1", "--format=%cI", tag)
	if err != nil {
		return err
	}
	when, err := time.Parse(time.RFC3339, strings.TrimSpace(string(at)))
	if err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": version, "Time": when.UTC()})
	if err != nil {
		return err
	}
	file, err := git(clone, "show", tag+":"+filepath.ToSlash(filepath.Join(dir, "go.mod")))
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"list": []byte(version + "\n"), version + ".info": info, version + ".mod": file} {
		if err := os.WriteFile(filepath.Join(versions, name), data, 0o644); err != nil {
			return err
		}
	}
	files, err := os.Create(filepath.Join(versions, version+".zip"))
	if err != nil {
		return err
	}
	if err := zip.CreateFromVCS(files, m, clone, tag, dir); err != nil {
		return err
	}
	return files.Close()
}

// git runs a git command in the clone.
func git(clone string, args ...string) ([]byte, error) {
	c := exec.Command("git", append([]string{"-C", clone}, args...)...)
	c.Stderr = os.Stderr
	return c.Output()
}
