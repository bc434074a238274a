package guard_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/guard"
)

// A later holder writes the whole file, and then one that was paused tries.
func ExampleWriteFile() {
	dir, _ := os.MkdirTemp("", "guard")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "report")
	fmt.Println(guard.WriteFile(path, 34, []byte("new"))) // lease.Fence()
	fmt.Println(errors.Is(guard.WriteFile(path, 33, []byte("old")), guard.ErrStale))
	// Output:
	// <nil>
	// true
}

// A holder that reads first registers its token before it reads. Then writes of an older holder are
// refused.
func ExampleRegisterFile() {
	dir, _ := os.MkdirTemp("", "guard")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "balance")
	if err := guard.WriteFile(path, 33, []byte("100")); err != nil {
		fmt.Println(err)
	}

	if err := guard.RegisterFile(path, 34); err != nil { // lease.Fence()
		fmt.Println(err)
	}
	balance, _ := os.ReadFile(path)
	// the older holder
	fmt.Println(errors.Is(guard.WriteFile(path, 33, []byte("90")), guard.ErrStale))
	fmt.Println(guard.WriteFile(path, 34, append(balance, '0')))
	// Output:
	// true
	// <nil>
}

// A transaction under the lock registers the token first, and then reads and writes. It is not run
// here, because it needs a database: the module examples/sql runs it on PostgreSQL and SQLite.
func ExampleRegister() {
	var db *sql.DB // in which guard.Schema was executed once
	pay := func(ctx context.Context, lease *redlock.Lease) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // after Commit it does nothing
		if err := guard.Register(ctx, tx, "account:7", lease.Fence()); err != nil {
			return err // guard.ErrStale: another holder has taken over
		}
		if _, err := tx.ExecContext(ctx, `UPDATE account SET balance = balance - 10 WHERE id = 7`); err != nil {
			return err
		}
		return tx.Commit()
	}
	_ = pay // for locks.Do(ctx, "account:7", pay)
}

// A value in Redis is read under the lock, and written back. It is not run here, because it needs
// a server.
func ExampleRegisterRedis() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer client.Close()
	double := func(ctx context.Context, lease *redlock.Lease) error {
		if err := guard.RegisterRedis(ctx, client, "account:7", lease.Fence()); err != nil {
			return err // guard.ErrStale: another holder has taken over
		}
		balance, err := client.HGet(ctx, "account:7", "value").Int()
		if err != nil {
			return err
		}
		return guard.SetRedis(ctx, client, "account:7", lease.Fence(), fmt.Sprint(2*balance))
	}
	_ = double // for locks.Do(ctx, "account:7", double)
}

// A value in Redis is written without being read. It is not run here, because it needs a server.
func ExampleSetRedis() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer client.Close()
	const token = 34 // lease.Fence()
	err := guard.SetRedis(context.Background(), client, "account:7", token, "new")
	if errors.Is(err, guard.ErrStale) {
		fmt.Println("another holder has taken over")
	}
}
