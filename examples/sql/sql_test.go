package sql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/go-redlock/redlock/guard"
)

// pay is work under a lock: it registers the token first, and reads and writes in the same
// transaction.
func pay(ctx context.Context, db *sql.DB, token uint64, amount int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if err := guard.Register(ctx, tx, "account:7", token); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE account SET balance = balance - $1 WHERE id = 7`, amount); err != nil {
		return err
	}
	return tx.Commit()
}

func setUp(ctx context.Context, db *sql.DB) error {
	for _, statement := range []string{
		guard.Schema,
		`CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)`,
		`INSERT INTO account (id, balance) VALUES (7, 100)`,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func balance(ctx context.Context, db *sql.DB) (n int, err error) {
	err = db.QueryRowContext(ctx, `SELECT balance FROM account WHERE id = 7`).Scan(&n)
	return n, err
}

func Example() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own
	if err := setUp(ctx, db); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(pay(ctx, db, 34, 10)) // lease.Fence() of the one who took over
	fmt.Println(errors.Is(pay(ctx, db, 33, 10), guard.ErrStale))
	fmt.Println(balance(ctx, db))
	// Output:
	// <nil>
	// true
	// 90 <nil>
}

func TestSQLiteRefusesTheOlderToken(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "d")+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	check(t, db)
}

// REDLOCK_TEST_POSTGRES is the address of a database that the test may use; test.sh starts one.
func TestPostgreSQLRefusesTheOlderToken(t *testing.T) {
	t.Parallel()
	address := os.Getenv("REDLOCK_TEST_POSTGRES")
	if address == "" {
		t.Skip("REDLOCK_TEST_POSTGRES is not set; test.sh starts a server and sets it")
	}
	db, err := sql.Open("postgres", address)
	if err != nil {
		t.Fatal(err)
	}
	check(t, db)
}

// check lets many pay at once, each with its own token. Each payment that was not refused was made,
// and at the end only the greatest token is accepted.
func check(t *testing.T, db *sql.DB) {
	t.Helper()
	defer db.Close()
	ctx := t.Context()
	if err := setUp(ctx, db); err != nil {
		t.Fatal(err)
	}
	var payers sync.WaitGroup
	results := make(chan error, 16)
	for token := uint64(1); token <= 16; token++ {
		payers.Go(func() { results <- pay(ctx, db, token, 1) })
	}
	payers.Wait()
	close(results)
	paid := 0
	for err := range results {
		switch {
		case err == nil:
			paid++
		case !errors.Is(err, guard.ErrStale):
			t.Error(err)
		}
	}
	if n, err := balance(ctx, db); err != nil || n != 100-paid || paid == 0 {
		t.Errorf("%d have paid and the balance is %d, %v", paid, n, err)
	}
	if err := pay(ctx, db, 15, 1); !errors.Is(err, guard.ErrStale) {
		t.Errorf("token 15 after 16: %v", err)
	}
	if err := pay(ctx, db, 16, 1); err != nil {
		t.Errorf("token 16 again: %v", err)
	}
	checkTokens(t, db)
}

// checkTokens registers tokens for resources of any name, within transactions that are rolled back
// or committed.
func checkTokens(t *testing.T, db *sql.DB) {
	t.Helper()
	const hostile = `x'); DROP TABLE account; --"` + "`$1"
	register := func(resource string, token uint64, commit bool) error {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
		if err := guard.Register(t.Context(), tx, resource, token); err != nil || !commit {
			return err
		}
		return tx.Commit()
	}
	for _, step := range []struct {
		resource string
		token    uint64
		commit   bool
		want     error
	}{
		{hostile, 9, false, nil},
		{hostile, 5, true, nil}, // the rollback took 9 back
		{hostile, 4, true, guard.ErrStale},
		{"another", 4, true, nil},
		{hostile, 10, true, nil},
		{hostile, 9, true, guard.ErrStale}, // also where text is compared
		{hostile, 1<<53 - 1<<32, true, nil},
		{hostile, 0, true, guard.ErrNoToken},
		{hostile, 1 << 63, true, guard.ErrNoToken}, // below 0 in SQL
	} {
		if err := register(step.resource, step.token, step.commit); !errors.Is(err, step.want) {
			t.Errorf("token %d for %q: %v, not %v", step.token, step.resource, err, step.want)
		}
	}
	if _, err := balance(t.Context(), db); err != nil {
		t.Error(err)
	}
}
