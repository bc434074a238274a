// Package seal closes interfaces of this module to implementations from outside it.
package seal

// A Seal is the parameter of a sealed interface's marking method. Only packages of this module can
// name the type, so only they can write the method.
type Seal struct{}
