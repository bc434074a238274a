package pool

type encoded struct{}
