package distance

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// A device is a TUN device: what the namespace sends through it is read here, and the other way
// round.
type device struct{ *os.File }

// openDevice makes a device in the namespace and sets it up with ip(8).
func openDevice(s *space, name string, setup []string) (*device, error) {
	const (
		iffTun, iffNoPI = 0x0001, 0x1000 // linux/if_tun.h
		tunSetIff       = 0x400454ca
	)
	d := &device{}
	err := s.do(func() error {
		fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("/dev/net/tun: %w: %w", err, ErrDenied)
		}
		var request [40]byte // struct ifreq
		copy(request[:syscall.IFNAMSIZ-1], name)
		binary.NativeEndian.PutUint16(request[syscall.IFNAMSIZ:], iffTun|iffNoPI)
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), tunSetIff, uintptr(unsafe.Pointer(&request))); e != 0 { //nolint:gosec // the kernel's struct
			_ = syscall.Close(fd)
			return fmt.Errorf("/dev/net/tun: %w: %w", e, ErrDenied)
		}
		// a file that does not block may be closed while it is read
		d.File = os.NewFile(uintptr(fd), name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.ip(setup); err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}
