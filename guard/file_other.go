//go:build !unix || solaris || aix

package guard

import (
	"errors"
	"os"
)

func flock(*os.File) error { return errors.ErrUnsupported }
