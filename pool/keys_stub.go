package pool

import "errors"

func Keys(prefix, name string) (string, string, error) {
	if name == "" {
		return "", "", errors.New("empty")
	}
	return prefix + name, "{" + prefix + name + "}:redlock:fence", nil
}
