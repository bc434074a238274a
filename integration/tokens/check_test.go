package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheCheckFindsWhatIsWrong(t *testing.T) {
	first := record{"a", 10, 100, 200}
	for name, c := range map[string]struct {
		then              record
		repeated, falling int
	}{
		"a higher token later":                   {record{"a", 11, 300, 400}, 0, 0},
		"a lower token, at the same time":        {record{"a", 9, 150, 300}, 0, 0},
		"a lower token, reserved before":         {record{"a", 9, 0, 300}, 0, 0},
		"a lower token of another name":          {record{"b", 9, 300, 400}, 0, 0},
		"the same token of another name":         {record{"b", 10, 300, 400}, 0, 0},
		"a lower token later":                    {record{"a", 9, 201, 300}, 0, 1},
		"the same token at the same time":        {record{"a", 10, 150, 300}, 1, 0},
		"the same token later":                   {record{"a", 10, 300, 400}, 1, 0},
		"a lower token long after, and returned": {record{"a", 1, 9000, 9001}, 0, 1},
	} {
		for _, order := range [][]record{{first, c.then}, {c.then, first}} {
			if v := check(order); len(v.repeated) != c.repeated || len(v.falling) != c.falling {
				t.Errorf("%s: %+v", name, v)
			}
		}
	}
}

func TestTheGreatestTokenReturnedCountsNotTheLast(t *testing.T) {
	v := check([]record{{"a", 10, 100, 200}, {"a", 5, 150, 250}, {"a", 7, 300, 400}})
	if len(v.falling) != 1 || v.falling[0][0].token != 10 || v.falling[0][1].token != 7 {
		t.Errorf("%+v", v)
	}
}

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "records")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	wrote := []record{{"a", 10, 100, 200}, {"b", 1 << 52, 0, 1 << 62}}
	for _, r := range wrote {
		r.write(f)
	}
	f.Close()
	got, err := read(file)
	if err != nil || !slices.Equal(got, wrote) {
		t.Errorf("read %v, %v", got, err)
	}
	if err := os.WriteFile(file, []byte("a 10 100\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := read(file); err == nil {
		t.Errorf("half a record was read as %v", got)
	}
}
