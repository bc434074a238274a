package main

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A proxy is the network between the clients and one server. It can be slow, and refuse
// connections.
type proxy struct {
	addr  string
	delay atomic.Int64 // in either direction

	mu       sync.Mutex
	listener net.Listener
	server   string
	conns    map[net.Conn]bool
}

// newProxy listens on a port of this machine.
func newProxy() (*proxy, error) {
	p := &proxy{addr: "127.0.0.1:0", conns: make(map[net.Conn]bool)}
	if err := p.accept(""); err != nil {
		return nil, err
	}
	p.addr = p.listener.Addr().String()
	return p, nil
}

// accept lets connections through to the server.
func (p *proxy) accept(server string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = server
	if p.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	p.listener = l
	go p.serve(l)
	return nil
}

// refuse ends all connections, and refuses new ones until accept.
func (p *proxy) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return
	}
	_ = p.listener.Close()
	p.listener = nil
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go p.carry(c)
	}
}

// carry connects a client with the server until one of them closes the connection.
func (p *proxy) carry(client net.Conn) {
	defer p.keep(client)()
	p.mu.Lock()
	to := p.server
	p.mu.Unlock()
	dialer := net.Dialer{Timeout: 5 * time.Second}
	server, err := dialer.DialContext(context.Background(), "tcp", to)
	if err != nil {
		return
	}
	defer p.keep(server)()
	go func() {
		p.pump(server, client)
		_ = server.Close()
	}()
	p.pump(client, server)
}

// keep records a connection, and returns a function that closes it.
func (p *proxy) keep(c net.Conn) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
		_ = c.Close()
	}
}

// pump copies data, with the delay. Data that arrives during the delay is sent with it.
func (p *proxy) pump(to io.Writer, from io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if d := time.Duration(p.delay.Load()); d > 0 && n > 0 {
			time.Sleep(d)
		}
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}
