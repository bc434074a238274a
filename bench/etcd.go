package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// etcdLocker locks on an etcd cluster of three members in another process, with etcd's defaults:
// each write is on disk before it is acknowledged.
type etcdLocker struct {
	cluster *child
	dir     string // of the cluster's data
	client  *clientv3.Client
	session *concurrency.Session
}

func openEtcd(ctx context.Context, _ []string) (_ locker, err error) {
	l := &etcdLocker{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.dir, err = os.MkdirTemp("", "redlock-bench-etcd-*"); err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	if l.cluster, err = startChild("etcd", l.dir); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(l.cluster.out).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	var endpoints []string
	if err = json.Unmarshal(line, &endpoints); err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	return l.connect(ctx, endpoints)
}

func (l *etcdLocker) connect(ctx context.Context, endpoints []string) (*etcdLocker, error) {
	var err error
	if l.client, err = clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()}); err != nil {
		return nil, fmt.Errorf("etcd client: %w", err)
	}
	if l.session, err = concurrency.NewSession(l.client, concurrency.WithTTL(int(ttl.Seconds())), concurrency.WithContext(ctx)); err != nil {
		return nil, fmt.Errorf("etcd session: %w", err)
	}
	return l, nil
}

func (l *etcdLocker) lock(ctx context.Context, name string) (held, error) {
	m := concurrency.NewMutex(l.session, "/"+name)
	return (*etcdMutex)(m), m.Lock(ctx)
}

func (l *etcdLocker) close() error {
	var errs []error
	if l.session != nil {
		errs = append(errs, l.session.Close())
	}
	if l.client != nil {
		errs = append(errs, l.client.Close())
	}
	if l.cluster != nil {
		errs = append(errs, l.cluster.kill(), os.RemoveAll(l.dir))
	}
	return errors.Join(errs...)
}

type etcdMutex concurrency.Mutex

func (m *etcdMutex) unlock(ctx context.Context) error { return (*concurrency.Mutex)(m).Unlock(ctx) }

// etcdMain is the main function of the cluster's process. It prints the members' addresses when
// they are ready.
func etcdMain(setup string) error {
	var dir string
	if err := json.Unmarshal([]byte(setup), &dir); err != nil {
		return err
	}
	var configs []*embed.Config
	var peers, endpoints []string
	for i := range 3 {
		client, err := freeAddr()
		if err != nil {
			return err
		}
		peer, err := freeAddr()
		if err != nil {
			return err
		}
		c := embed.NewConfig()
		c.Name = fmt.Sprintf("m%d", i)
		c.Dir = filepath.Join(dir, c.Name)
		c.LogLevel, c.LogOutputs = "panic", []string{"/dev/null"}
		c.ListenClientUrls = []url.URL{{Scheme: "http", Host: client}}
		c.AdvertiseClientUrls = c.ListenClientUrls
		c.ListenPeerUrls = []url.URL{{Scheme: "http", Host: peer}}
		c.AdvertisePeerUrls = c.ListenPeerUrls
		configs = append(configs, c)
		peers = append(peers, c.Name+"=http://"+peer)
		endpoints = append(endpoints, client)
	}
	var members []*embed.Etcd
	for _, c := range configs {
		c.InitialCluster = strings.Join(peers, ",")
		m, err := embed.StartEtcd(c)
		if err != nil {
			return fmt.Errorf("start etcd: %w", err)
		}
		defer m.Close()
		members = append(members, m)
	}
	for _, m := range members {
		<-m.Server.ReadyNotify()
	}
	if err := json.NewEncoder(os.Stdout).Encode(endpoints); err != nil {
		return err
	}
	untilParentEnds()
	return nil
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
