package pool_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

func ExampleDial() {
	nodes, err := pool.Dial("10.0.0.1", "10.0.0.2:6380", "rediss://locks:secret@redis3.example.com/1")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range nodes {
		fmt.Println(n.Addr())
	}
	_, err = pool.Dial("redis://locks:secret@10.0.0.1:99999")
	fmt.Println(err)
	// Output:
	// 10.0.0.1:6379
	// 10.0.0.2:6380
	// redis3.example.com:6379
	// pool: address 1: "10.0.0.1:99999": the port is not a number from 1 to 65535
}

func ExampleDialer_Dial() {
	dialer := pool.Dialer{
		Username: "locks",
		Password: os.Getenv("REDIS_PASSWORD"),
		TLS:      &tls.Config{MinVersion: tls.VersionTLS13},
		Timeout:  10 * time.Second, // the masters are very far away
	}
	nodes, err := dialer.Dial("10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379")
	fmt.Println(len(nodes), err)
	// Output: 3 <nil>
}

// Your existing clients work too. You still have to close them.
func ExampleNew() {
	client := redis.NewClient(&redis.Options{Addr: "10.0.0.1:6379", ContextTimeoutEnabled: true})
	defer client.Close()
	locks, err := redlock.New([]pool.Node{pool.New(client)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(locks.Close(context.Background()))
	// Output: <nil>
}

func ExampleWithAddr() {
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"10.0.0.1:6379", "10.0.0.2:6379"}})
	defer cluster.Close()
	// the name in errors, logs and events
	fmt.Println(pool.New(cluster, pool.WithAddr("cluster-eu")).Addr())
	// Output: cluster-eu
}

// A client of your own, over a network that is slow to connect and forgets idle connections.
func ExampleWithTimeout() {
	client := redis.NewClient(&redis.Options{Addr: "10.0.0.1:6379"})
	defer client.Close()
	node := pool.New(client, pool.WithTimeout(10*time.Second), pool.WithMaxIdle(15*time.Second))
	fmt.Println(node.Addr())
	// Output: 10.0.0.1:6379
}

func ExampleWithMaxIdle() {
	client := redis.NewClient(&redis.Options{Addr: "10.0.0.1:6379"})
	defer client.Close()
	// the balancer forgets connections after 20 s
	fmt.Println(pool.New(client, pool.WithMaxIdle(15*time.Second)).Addr())
	// Output: 10.0.0.1:6379
}

func ExampleDialList() {
	// os.Getenv("REDLOCK_NODES")
	nodes, err := pool.DialList("10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379")
	fmt.Println(len(nodes), err)
	// Output: 3 <nil>
}

func ExampleDialer_DialList() {
	// port 6379
	nodes, err := pool.Dialer{ClientName: "billing"}.DialList("10.0.0.1, 10.0.0.2, 10.0.0.3")
	fmt.Println(nodes[2].Addr(), err)
	// Output: 10.0.0.3:6379 <nil>
}

func ExampleParseList() {
	// as in REDLOCK_NODES
	addrs, err := pool.ParseList("10.0.0.1:6379, 10.0.0.2:6379\n10.0.0.3:6379")
	fmt.Println(addrs, err)
	// Output: [10.0.0.1:6379 10.0.0.2:6379 10.0.0.3:6379] <nil>
}

func ExampleDialer_Options() {
	dialer := pool.Dialer{Password: "secret"}
	options, err := dialer.Options("redis://locks@10.0.0.1/1")
	if err != nil {
		fmt.Println(err)
		return
	}
	client := redis.NewClient(options) // for your own commands
	defer client.Close()
	fmt.Println(options.Addr, options.Username, options.Password, options.DB)
	// Output: 10.0.0.1:6379 locks secret 1
}
