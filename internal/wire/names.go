package wire

import "strconv"

var verdicts = [...]string{
	Unanswered:  "no answer yet",
	OK:          "ok",
	Held:        "held",
	Gone:        "gone",
	Raised:      "fencing register raised by another",
	Quarantined: "in quarantine after a restart",
	Refused:     "refused",
	Unavailable: "unavailable",
}

// String returns a word or two for errors and logs.
func (v Verdict) String() string { return name(verdicts[:], "Verdict", int(v)) }

var verbs = [...]string{
	Acquire:   "acquire",
	Repair:    "repair",
	Extend:    "extend",
	Rejoin:    "rejoin",
	Release:   "release",
	Leave:     "leave",
	Inspect:   "inspect",
	Bootstrap: "bootstrap",
	Check:     "check",
}

// String returns the verb.
func (v Verb) String() string { return name(verbs[:], "Verb", int(v)) }

func name(names []string, kind string, i int) string {
	if i < len(names) && names[i] != "" {
		return names[i]
	}
	return kind + "(" + strconv.Itoa(i) + ")"
}
