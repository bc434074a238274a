package main

import (
	"io"
	"net"
	"sync"
)

// proxy stands in for a server: do may change what the server answers. Its connections end with
// those of the server's clients; stop waits for that.
func proxy(server string, do func([]byte) []byte) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err //nolint:wrapcheck // the error says it all
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			all.Go(func() {
				_, _ = io.Copy(back, client)
				_ = back.Close()
			})
			all.Go(func() {
				defer client.Close() //nolint:errcheck // the test is over
				for text := make([]byte, 1<<16); ; {
					n, err := back.Read(text)
					if err != nil {
						return
					}
					if _, err := client.Write(do(text[:n])); err != nil {
						return
					}
				}
			})
		}
	})
	return l.Addr().String(), func() { _ = l.Close(); all.Wait() }, nil
}
