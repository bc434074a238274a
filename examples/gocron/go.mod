module github.com/go-redlock/redlock/examples/gocron

go 1.26.0

replace github.com/go-redlock/redlock => ../../

require (
	github.com/go-co-op/gocron/v2 v2.21.2
	github.com/go-redlock/redlock v0.0.0-00010101000000-000000000000
	github.com/jonboulle/clockwork v0.5.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/hashicorp/errwrap v1.0.0 // indirect
	github.com/hashicorp/go-multierror v1.1.1 // indirect
	github.com/redis/go-redis/v9 v9.23.0 // indirect
	github.com/robfig/cron/v3 v3.0.1 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
