package dispatch

import "sync"

// servers knows which server each line leads to, so that a server behind two addresses has one
// vote.
type servers struct {
	mu    sync.Mutex
	of    []string       // run id of the server, by line; empty while unknown
	voter map[string]int // the line that votes for the server: the first that led to it
}

// identify notes that lines[i] leads to server now, and reports each node that has lost its vote by
// that.
func (d *Dispatcher) identify(i int, server string) {
	for _, node := range d.servers.found(d.lines, i, server) {
		d.hooks.Duplicate(node[0], node[1])
	}
}

// found notes that lines[i] leads to server now. It returns the lines that have lost their vote by
// that, each with the line that has it.
func (s *servers) found(lines []*Line, i int, server string) (lost [][2]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[i] = server
	for id, v := range s.voter {
		if s.of[v] != id {
			delete(s.voter, id)
		}
	}
	for j, id := range s.of {
		if _, taken := s.voter[id]; id != "" && !taken {
			s.voter[id] = j
		}
	}
	for j, id := range s.of {
		duplicate := id != "" && s.voter[id] != j
		if was := lines[j].duplicate.Swap(duplicate); duplicate && !was {
			lost = append(lost, [2]int{j, s.voter[id]})
		}
	}
	return lost
}
