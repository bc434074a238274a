package wire

// A Sealed node is what a program holds of one. Nothing but what [Seal] returns, and what embeds
// that, has this method.
type Sealed interface{ sealed() }

// A Handle is a node that a program can pass on and name, and use in no other way.
type Handle struct{ node Node }

// Seal returns the handle of a node.
func Seal(n Node) *Handle { return &Handle{n} }

// Addr returns the node's address.
func (h *Handle) Addr() string { return h.node.Addr() }

func (*Handle) sealed() {}

// NodeOf returns the node that n is the handle of. It returns nil for everything else, such as a
// type that embeds a handle, and so may mean to change what it does.
func NodeOf(n Sealed) Node {
	if h, ok := n.(*Handle); ok && h != nil {
		return h.node
	}
	return nil
}
