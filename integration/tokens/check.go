package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// A record is one acquisition as its process saw it. The times are nanoseconds of the machine's
// monotonic clock.
type record struct {
	name  string
	token uint64
	// not after the attempt that won; 0 if the token may have been reserved before, by another
	// attempt
	began    int64
	returned int64
}

func (r record) String() string {
	return fmt.Sprintf("%s token %d, began %d, returned %d", r.name, r.token, r.began, r.returned)
}

func (r record) write(to io.Writer) {
	// a missing record fails the run
	_, _ = fmt.Fprintln(to, r.name, r.token, r.began, r.returned)
}

// read reads the records of one process.
func read(file string) ([]record, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []record
	for in := bufio.NewReader(f); ; {
		var r record
		_, err := fmt.Fscanln(in, &r.name, &r.token, &r.began, &r.returned)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, r)
	}
}

// A verdict lists what is wrong with the records. Each entry names two records that contradict each
// other.
type verdict struct {
	repeated [][2]record
	falling  [][2]record // the second began after the first had returned, and has the lower token
}

// check judges the records of all processes.
func check(all []record) (v verdict) {
	names := make(map[string][]record)
	for _, r := range all {
		names[r.name] = append(names[r.name], r)
	}
	for _, of := range names {
		v.repeated = append(v.repeated, repeated(of)...)
		v.falling = append(v.falling, falling(of)...)
	}
	return v
}

func repeated(of []record) (found [][2]record) {
	first := make(map[uint64]record)
	for _, r := range of {
		if was, ok := first[r.token]; ok {
			found = append(found, [2]record{was, r})
			continue
		}
		first[r.token] = r
	}
	return found
}

// falling goes through the beginnings in order, and compares each with the greatest token that had
// been returned before.
func falling(of []record) (found [][2]record) {
	began := slices.SortedFunc(slices.Values(of), func(a, b record) int { return cmp.Compare(a.began, b.began) })
	returned := slices.SortedFunc(slices.Values(of), func(a, b record) int { return cmp.Compare(a.returned, b.returned) })
	var greatest record
	for _, r := range began {
		for ; len(returned) > 0 && returned[0].returned < r.began; returned = returned[1:] {
			if returned[0].token > greatest.token {
				greatest = returned[0]
			}
		}
		if r.token < greatest.token {
			found = append(found, [2]record{greatest, r})
		}
	}
	return found
}
