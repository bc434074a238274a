package wire_test

import (
	"fmt"

	"github.com/go-redlock/redlock/internal/wire"
)

func ExampleKeys() {
	keys, err := wire.Keys("billing:", "invoice:42")
	fmt.Println(err)
	fmt.Println(keys.Lock)
	fmt.Println(keys.Fence)
	fmt.Println(keys.Queue)
	// Output:
	// <nil>
	// billing:invoice:42
	// {billing:invoice:42}:redlock:fence
	// {billing:invoice:42}:redlock:queue
}
