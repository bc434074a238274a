package guard

import (
	"context"
	"database/sql"
	"fmt"
)

// Schema creates the table in which [Register] keeps tokens. It works with PostgreSQL and SQLite.
const Schema = `CREATE TABLE IF NOT EXISTS redlock_fence (resource TEXT PRIMARY KEY, token BIGINT NOT NULL)`

const registerSQL = `INSERT INTO redlock_fence (resource, token) VALUES ($1, $2)
	ON CONFLICT (resource) DO UPDATE SET token = excluded.token WHERE redlock_fence.token <= excluded.token`

// Register registers the token for the resource within tx, or fails with [ErrStale] if a greater
// one is registered; then roll back. Call it first in every transaction that reads or writes the
// resource under the lock: the database locks the resource's row until the end of tx, so the check
// and the writes are one atomic step. It works with PostgreSQL at any isolation level, and with
// SQLite, on a table made by [Schema].
func Register(ctx context.Context, tx *sql.Tx, resource string, token uint64) error {
	if err := check(token); err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, registerSQL, resource, int64(token))
	if err != nil {
		return fmt.Errorf("guard: register %q: %w", resource, err)
	}
	switch n, err := result.RowsAffected(); {
	case err != nil:
		return fmt.Errorf("guard: register %q: %w", resource, err)
	case n == 0:
		return stale(resource, token)
	}
	return nil
}
