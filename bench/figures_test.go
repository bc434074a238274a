package main

import (
	"os"
	"testing"
)

func TestTheReadmeShowsTheFiguresThatWereMeasured(t *testing.T) {
	t.Parallel()
	r, err := readResults("results/results.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := withFigures(string(text), r)
	if err != nil {
		t.Fatal(err)
	}
	if want != string(text) {
		t.Errorf("run go -C bench run . -render; the table should be\n%s", figuresTable(r))
	}
}
