package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// code matches code, in which there are no links.
var code = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")

func TestTheHandbooksLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(at(pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	anchors := make(map[string]string) // of the headings of a file
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, heading := range regexp.MustCompile("(?m)^#+ (.*)$").FindAllStringSubmatch(string(text), -1) {
			slug := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
			anchors[f] += "#" + strings.ReplaceAll(slug, " ", "-") + "\n"
		}
	}
	links := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		prose := code.ReplaceAllString(string(text), "")
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(prose, -1) {
			path, anchor, hasAnchor := strings.Cut(link[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			links++
			target := f
			if path != "" {
				target = filepath.Join(filepath.Dir(f), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s: there is no such file", f, link[1])
			} else if hasAnchor && !strings.Contains(anchors[target], "#"+anchor+"\n") {
				t.Errorf("%s: %s: there is no such heading", f, link[1])
			}
		}
	}
	if links == 0 {
		t.Error("there are no links")
	}
}
